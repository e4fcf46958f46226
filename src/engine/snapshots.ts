import type { Dispatch, StepShape } from '../gpu/recorder.ts';
import { rowBytes, stride, type Weight } from '../kernels/tensor.ts';
import { FORMATS } from '../quant/index.ts';

export type Floats = Float32Array<ArrayBuffer>;

/** Output rows of a projection that are checked, at its beginning and at its end. */
const SAMPLE = 4;
/** Work for the GPU in order: launches, and copies of what they left. */
export type Work =
  | { list: readonly Dispatch[]; step: StepShape }
  | { from: GPUBuffer; at: number; size: number; to: number };

/** Collects copies of GPU memory, which are there once it ran. */
export class Snapshots {
  bytes = 0;
  data: ArrayBuffer = new ArrayBuffer(0);

  add(work: Work[], from: GPUBuffer, at: number, size: number): () => ArrayBuffer {
    const to = this.bytes;
    work.push({ from, at, size, to });
    this.bytes += 16 * Math.ceil(size / 16);
    let read: ArrayBuffer | undefined;
    return () => (read ??= this.data.slice(to, to + size));
  }

  floats(work: Work[], from: GPUBuffer, at: number, count: number): () => Floats {
    const read = this.add(work, from, 4 * at, 4 * count);
    return () => new Float32Array(read());
  }
}

/** Rows of a weight as the GPU holds them, widened. */
export interface Rows {
  first: number;
  /** `(rows)` of `(cols)` */
  values: Floats[];
  bias: Floats | undefined;
  gain: Floats | undefined;
}

/** Some rows `first ..` that lie in one part; `half` of a swiglu counts the rows of gate (0) or up (1). */
export function takeRows(
  snapshots: Snapshots,
  work: Work[],
  weight: Weight,
  first: number,
  count: number,
  half?: 0 | 1,
): () => Rows {
  const { dtype, cols, hasGain, hasBias } = weight;
  const share = half === undefined ? 1 : 2;
  const part = weight.parts.findLast(({ row0 }) => row0 / share <= first)!;
  const at = first - part.row0 / share + (half === 1 ? part.rows / 2 : 0);
  const bytes = rowBytes(dtype, cols);
  const codes = snapshots.add(work, part.codes, at * bytes.codes, count * bytes.codes);
  const scales = part.scales && snapshots.add(work, part.scales, at * bytes.scales, count * bytes.scales);
  const gain = hasGain ? snapshots.floats(work, part.vectors!, 0, cols) : undefined;
  const biasAt = (hasGain ? stride(cols) : 0) + at;
  const bias = hasBias ? snapshots.floats(work, part.vectors!, biasAt, count) : undefined;
  return () => {
    const [held, scaled] = [codes(), scales?.()];
    const values = Array.from({ length: count }, (_, r) =>
      FORMATS[dtype].decode(
        held.slice(r * bytes.codes, (r + 1) * bytes.codes),
        scaled?.slice(r * bytes.scales, (r + 1) * bytes.scales),
        cols,
      ),
    );
    return { first, values, bias: bias?.(), gain: gain?.() };
  };
}

/** Some of the first and of the last rows of a weight (of a half of it). */
export function takeEnds(snapshots: Snapshots, work: Work[], weight: Weight, half?: 0 | 1): (() => Rows)[] {
  const share = half === undefined ? 1 : 2;
  const [first, last] = [weight.parts[0]!, weight.parts.at(-1)!].map(({ rows }) =>
    Math.min(SAMPLE, rows / share),
  );
  return [
    takeRows(snapshots, work, weight, 0, first!, half),
    takeRows(snapshots, work, weight, weight.rows / share - last!, last!, half),
  ];
}

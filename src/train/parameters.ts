import { ShishuError } from '../errors.ts';
import { type Ledger, readBuffer } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/device.ts';
import { elements, type TensorSpec } from '../model/spec.ts';
import type { CpuWeights } from './weights.ts';

/** A binding begins at a multiple of 256 bytes. */
const ALIGN = 64;

/** Where a tensor's numbers lie: which of the buffers, and from which element on. */
interface Spot {
  buffer: number;
  offset: number;
  tensor: TensorSpec;
}

/** How tensors lie in few large buffers: a launch can go over all numbers of one. */
export interface Layout {
  /** Elements of each buffer, and whether its weights decay: those of matrices do. */
  buffers: readonly { count: number; decays: boolean }[];
  spots: ReadonlyMap<string, Spot>;
}

/**
 * @param most bytes of the largest buffer
 * @throws ShishuError `does-not-fit` for a tensor that is larger
 */
export function layoutOf(tensors: readonly TensorSpec[], most: number): Layout {
  const buffers: { count: number; decays: boolean }[] = [];
  const spots = new Map<string, Spot>();
  for (const decays of [true, false])
    for (const tensor of tensors) {
      if (tensor.shape.length >= 2 !== decays) continue;
      const count = ALIGN * Math.ceil(elements(tensor) / ALIGN);
      if (4 * count > most)
        throw new ShishuError(
          'does-not-fit',
          `${tensor.name} takes ${4 * count} bytes, the GPU binds ${most} at most.`,
          { details: { tensor: tensor.name, bytes: 4 * count, limit: most } },
        );
      const before = buffers.at(-1);
      const fits = before?.decays === decays && 4 * (before.count + count) <= most;
      const last = fits ? before : { count: 0, decays };
      if (!fits) buffers.push(last);
      spots.set(tensor.name, { buffer: buffers.length - 1, offset: last.count, tensor });
      last.count += count;
    }
  return { buffers, spots };
}

export const layoutBytes = ({ buffers }: Layout): number =>
  buffers.reduce((sum, { count }) => sum + 4 * count, 0);

/** Tensors of a layout on the GPU, f32: weights, gradients or moments. */
export class Tensors {
  readonly layout: Layout;
  readonly buffers: readonly GPUBuffer[];

  constructor(ledger: Ledger, label: string, layout: Layout) {
    this.layout = layout;
    this.buffers = layout.buffers.map(({ count }, i) =>
      ledger.storage(`${label} ${i}`, 4 * count, 'weights'),
    );
  }

  /** A tensor's place, where it is one of these. */
  place(name: string): { buffer: GPUBuffer; offset: number } | undefined {
    const spot = this.layout.spots.get(name);
    return spot && { buffer: this.buffers[spot.buffer]!, offset: spot.offset };
  }

  /** Writes those of its tensors that are given. */
  write({ device }: Gpu, weights: CpuWeights): void {
    for (const [name, { buffer, offset }] of this.layout.spots) {
      const given = weights[name];
      if (given) device.queue.writeBuffer(this.buffers[buffer]!, 4 * offset, given.data);
    }
  }

  async read(gpu: Gpu): Promise<CpuWeights> {
    const weights: CpuWeights = {};
    for (const [name, { buffer, offset, tensor }] of this.layout.spots) {
      const bytes = await readBuffer(gpu, this.buffers[buffer]!, 4 * offset, 4 * elements(tensor));
      weights[name] = { shape: tensor.shape, data: new Float32Array(bytes) };
    }
    return weights;
  }
}

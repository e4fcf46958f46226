// A model with a LoRA adapter merged into its weights: `W + scale * B A` where it has W, in the type that it is stored in.
import { checkpointFor } from '../engine/engine.ts';
import { ShishuError } from '../errors.ts';
import { specsOf } from '../families/index.ts';
import { readEntries } from '../formats/checkpoint.ts';
import { bytesToF32, firstF16Overflow } from '../formats/float.ts';
import { readJson } from '../formats/json.ts';
import { tensorBytes } from '../formats/safetensors.ts';
import { checkedSource, type Source } from '../formats/source.ts';
import { DTYPE_BITS } from '../formats/tensor-entry.ts';
import { type LowRank, readAdapter } from '../model/adapter.ts';

/** A stored matrix that changes. */
interface Patch extends Pick<LowRank, 'rank' | 'scale' | 'A' | 'B'> {
  tensor: string;
  dtype: 'F32' | 'F16' | 'BF16';
  cols: number;
  start: number;
  end: number;
}

/** What is added to elements `from .. to` of a matrix. */
function addTo(values: Float32Array, { rank, scale, A, B, cols }: Patch, from: number): void {
  const sums = new Float64Array(cols);
  for (let at = 0; at < values.length; ) {
    const row = Math.floor((from + at) / cols);
    const first = (from + at) % cols;
    const count = Math.min(cols - first, values.length - at);
    sums.fill(0);
    for (let i = 0; i < rank; i++) {
      const by = scale * B[row * rank + i]!;
      for (let j = 0; j < count; j++) sums[j]! += by * A[i * cols + first + j]!;
    }
    for (let j = 0; j < count; j++) values[at + j]! += sums[j]!;
    at += count;
  }
}

/** Puts the adapter into a range of a matrix's bytes, which begins `offset` bytes in. */
function mergeInto(bytes: Uint8Array<ArrayBuffer>, patch: Patch, offset: number): void {
  const { tensor, dtype } = patch;
  const size = DTYPE_BITS[dtype] / 8;
  if (offset % size !== 0 || bytes.length % size !== 0)
    throw new ShishuError('bad-argument', `Bytes of "${tensor}" are read that are no whole values.`, {
      details: { tensor, start: offset, length: bytes.length },
    });
  // An F32 view would be of the bytes themselves.
  const values = bytesToF32(bytes.slice(), dtype);
  addTo(values, patch, offset / size);
  const over = dtype === 'F16' ? firstF16Overflow(values) : -1;
  if (over >= 0)
    throw new ShishuError(
      'unsupported',
      `With the adapter merged, tensor "${tensor}" has ${values[over]}, which F16 does not hold.`,
      {
        details: { tensor, value: values[over]! },
        mend: 'Store the model as F32 or BF16, or load the adapter beside it.',
      },
    );
  bytes.set(tensorBytes({ name: tensor, dtype, shape: [values.length], data: values }));
}

/**
 * The folder of a model with an adapter merged into its weights, which change as they are read.
 * @throws ShishuError those of `loadModel` and `loadAdapter` for what their folders hold
 */
export async function mergeAdapter(source: Source, adapter: Source, signal?: AbortSignal): Promise<Source> {
  const entries = await readEntries(source, signal);
  const specs = specsOf(await readJson(source, 'config.json', { code: 'bad-config' }, signal));
  const { spec } = checkpointFor(source, entries, specs);
  const { parts } = await readAdapter(adapter, spec, signal);
  const patches = new Map<string, Patch[]>();
  const tensors = new Map(entries);
  for (const { module, ...part } of parts)
    for (const name of module.names) {
      // Some checkpoints leave the first part of names out.
      const tensor = [`${name}.weight`, `${name.replace(/^model\./, '')}.weight`].find((one) =>
        entries.has(one),
      );
      if (tensor === undefined) continue;
      // It is in no other form any more.
      const { stored: _, ...entry } = entries.get(tensor)!;
      tensors.set(tensor, entry);
      const { file, start, end } = entry;
      const dtype = entry.dtype as Patch['dtype'];
      const patch = { ...part, tensor, dtype, cols: module.cols, start, end };
      patches.set(file, [...(patches.get(file) ?? []), patch]);
    }
  return checkedSource(
    {
      name: source.name,
      size: (file) => source.size(file),
      tensors: async () => tensors,
      async read(file, start = 0, end, aborted) {
        const read = await source.read(file, start, end, aborted);
        const own = patches.get(file) ?? [];
        const stop = start + read.length;
        const bytes = own.length > 0 && !source.fresh ? read.slice() : read;
        for (const patch of own.filter((one) => one.start < stop && one.end > start)) {
          const [low, high] = [Math.max(start, patch.start), Math.min(stop, patch.end)];
          mergeInto(bytes.subarray(low - start, high - start), patch, low - patch.start);
        }
        return bytes;
      },
    },
    source.fresh,
  );
}

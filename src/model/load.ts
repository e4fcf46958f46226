import { ShishuError, throwIfAborted } from '../errors.ts';
import type { Checkpoint } from '../formats/checkpoint.ts';
import { bytesToF32 } from '../formats/float.ts';
import type { Gpu } from '../gpu/device.ts';
import { rowBytes, stride } from '../kernels/tensor.ts';
import type { TensorSpec } from './plan.ts';
import { packRows } from './quantize.ts';
import type { FillPlan, RowPlace } from './weights.ts';

/** Bytes read at a time: enough to keep a network busy, little beside the model. */
const CHUNK = 4 << 20;

export interface FillOptions {
  signal?: AbortSignal | undefined;
  /** Called after each read with its bytes. */
  onBytes?: (bytes: number, tensor: string) => void;
}

/** Runs of rows that stay neighbours on the GPU, at most `most` long. */
function* runs(
  { rows, place }: RowPlace,
  most: number,
): Generator<{ row: number; end: number; part: number; at: number }> {
  let row = 0;
  while (row < rows) {
    const { part, row: at } = place(row);
    let end = Math.min(rows, row + most);
    while (place(end - 1).part !== part) end--;
    yield { row, end, part, at };
    row = end;
  }
}

/** Reads a checkpoint into allocated weights, some rows at a time, so that no large tensor is whole in memory. */
export async function fillFromCheckpoint(
  gpu: Gpu,
  fill: FillPlan,
  checkpoint: Checkpoint,
  specs: readonly TensorSpec[],
  { signal, onBytes }: FillOptions = {},
): Promise<void> {
  const read = async (tensor: string, start?: number, end?: number): Promise<Uint8Array<ArrayBuffer>> => {
    throwIfAborted(signal);
    const bytes = await checkpoint.read(tensor, start, end, signal);
    onBytes?.(bytes.byteLength, tensor);
    return bytes;
  };
  const readVector = async (tensor: string): Promise<Float32Array<ArrayBuffer>> =>
    bytesToF32(await read(tensor), checkpoint.tensors.get(tensor)!.dtype);
  const write = (buffer: GPUBuffer, offset: number, data: ArrayBufferView<ArrayBuffer>): void =>
    gpu.device.queue.writeBuffer(buffer, offset, data.buffer, data.byteOffset, data.byteLength);

  for (const matrix of fill.matrices) {
    const { tensor, weight } = matrix;
    const { dtype } = checkpoint.tensors.get(tensor)!;
    const storedRow = weight.cols * (dtype === 'F32' ? 4 : 2);
    const size = rowBytes(weight.dtype, weight.cols);
    for (const { row, end, part, at } of runs(matrix, Math.max(1, Math.floor(CHUNK / storedRow)))) {
      const values = bytesToF32(await read(tensor, row * storedRow, end * storedRow), dtype);
      const { codes, scales } = packRows(values, weight.cols, weight.dtype, tensor);
      const to = weight.parts[part]!;
      write(to.codes, at * size.codes, codes);
      if (scales) write(to.scales!, at * size.scales, scales);
    }
  }
  for (const bias of fill.biases) {
    const { weight } = bias;
    const values = await readVector(bias.tensor);
    const before = weight.hasGain ? stride(weight.cols) : 0;
    for (const { row, end, part, at } of runs(bias, bias.rows))
      write(weight.parts[part]!.vectors!, 4 * (before + at), values.subarray(row, end));
  }
  for (const { tensor, weight } of fill.gains) {
    const values = await readVector(tensor);
    for (const { vectors } of weight.parts) write(vectors!, 0, values);
  }
  for (const { tensor, buffer, at } of fill.plain) write(buffer, 4 * at, await readVector(tensor));

  // A stored copy that differs is not shared: running one of the two would be a wrong guess.
  for (const { name, copyOf } of specs) {
    const stored = checkpoint.tensors.get(name);
    if (!copyOf || !stored) continue;
    const length = stored.end - stored.start;
    for (let start = 0; start < length; start += CHUNK) {
      const end = Math.min(length, start + CHUNK);
      const [copy, first] = [await read(name, start, end), await checkpoint.read(copyOf, start, end, signal)];
      if (stored.dtype !== checkpoint.tensors.get(copyOf)!.dtype || copy.some((byte, i) => byte !== first[i]))
        throw new ShishuError(
          'bad-checkpoint',
          `Tensor "${name}" differs from "${copyOf}", which it shares.`,
          {
            details: { tensor: name, copyOf },
            mend: 'Lower num_mlp_shared, or leave the second member of the pair out.',
          },
        );
    }
  }
}

import { ShishuError, throwIfAborted } from '../errors.ts';
import type { Checkpoint, Span, UsableTensor } from '../formats/checkpoint.ts';
import { CHUNK_BYTES, free, LANES, PREFETCHED_CHUNKS } from '../formats/concurrency.ts';
import { bytesToF32 } from '../formats/float.ts';
import type { widen } from '../formats/gguf/widen.ts';
import { watchErrors } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/device.ts';
import { gainRange, gainSize, rowBytes, stride } from '../kernels/tensor.ts';
import { importModule } from '../lazy.ts';
import type { ValueDtype } from '../quant/index.ts';
import type { F16Fit } from './f16-fit.ts';
import type { Fold } from './fold.ts';
import { dtypeOfBlocks, packBlocks, packerOf } from './pack.ts';
import type { TensorSpec } from './spec.ts';
import type { FillPlan, RowPlace } from './weights.ts';

/** Bytes that are read and packed at a time: little beside the model. */
const READ_BYTES = 2 << 20;

/**
 * Most bytes that loading takes beside the model, for a checkpoint of so many bytes: in the page the reads under way, the read
 * that is being packed (widened, padded, coded), and what the network brought or, with the cache, the chunks that reads are
 * cut from; on the GPU what was written and not yet taken.
 */
export function loadingBytes(storedBytes: number, cached: boolean): { page: number; gpu: number } {
  const reads = Math.min(storedBytes, LANES * READ_BYTES);
  const widened = 2 * Math.min(storedBytes, READ_BYTES);
  const chunks = Math.ceil((LANES * READ_BYTES) / CHUNK_BYTES) + 1 + PREFETCHED_CHUNKS;
  return {
    page: reads + 3 * widened + (cached ? Math.min(storedBytes, chunks * CHUNK_BYTES) : reads),
    gpu: 2 * reads,
  };
}

export interface FillOptions {
  signal?: AbortSignal | undefined;
  /** Called for each tensor, or part of one, with its bytes. */
  onBytes?: (bytes: number, tensor: string) => void;
  /** Told what f16 is to hold of tensors that have a wider range; without it, a value past f16 is an error. */
  fit?: F16Fit | undefined;
}

/** Runs of rows that stay neighbours on the GPU, of those from `row` to `last`. */
function* runs(
  { place }: RowPlace,
  row: number,
  last: number,
): Generator<{ row: number; end: number; part: number; at: number }> {
  while (row < last) {
    const { part, row: at } = place(row);
    let end = row + 1;
    for (; end < last; end++) {
      const next = place(end);
      if (next.part !== part || next.row !== at + end - row) break;
    }
    yield { row, end, part, at };
    row = end;
  }
}

/** Stored values, widened, as the model has them. */
function valuesOf(
  bytes: Uint8Array<ArrayBuffer>,
  { dtype, blocks }: UsableTensor,
  fold: Fold | undefined,
  wide: typeof widen | undefined,
): Float32Array<ArrayBuffer> {
  const values = blocks ? wide!(bytes, blocks) : bytesToF32(bytes, dtype);
  if (!fold) return values;
  // What was read is its owner's.
  const own = values.buffer === bytes.buffer ? values.slice() : values;
  for (let i = 0; i < own.length; i++) own[i] = fold.times * own[i]! + fold.plus;
  return own;
}

/** A part of a tensor, and what to do with its bytes. */
interface Piece extends Span {
  tensor: string;
  use(bytes: Uint8Array<ArrayBuffer>): void;
}

function* piecesOf(
  gpu: Gpu,
  fill: FillPlan,
  { tensors }: Checkpoint,
  fit: F16Fit | undefined,
  wide: typeof widen | undefined,
): Generator<Piece> {
  const write = (buffer: GPUBuffer, offset: number, data: ArrayBufferView<ArrayBuffer>): void =>
    gpu.device.queue.writeBuffer(buffer, offset, data.buffer, data.byteOffset, data.byteLength);
  const vector = (
    { tensor, fold }: { tensor: string; fold?: Fold | undefined },
    use: (values: Float32Array<ArrayBuffer>) => void,
  ): Piece => {
    const entry = tensors.get(tensor)!;
    return { ...entry, tensor, use: (bytes) => use(valuesOf(bytes, entry, fold, wide)) };
  };

  for (const matrix of fill.matrices) {
    const { tensor, weight, fold } = matrix;
    const entry = tensors.get(tensor)!;
    const { file, start, dtype, blocks } = entry;
    const storedRow = (entry.end - start) / matrix.rows;
    // What is widened takes no more than bf16 does.
    const most = Math.max(1, Math.floor(READ_BYTES / Math.max(storedRow, 2 * weight.cols)));
    // About as many each time: q4 learns from them how much its columns matter, and of a few rows nothing.
    const together = Math.ceil(matrix.rows / Math.ceil(matrix.rows / most));
    // The parts that hold a tensor are all in one dtype.
    const to = weight.parts[matrix.place(0).part]!;
    const size = rowBytes(to.dtype, weight.cols);
    const asTheyAre = blocks && !fold && dtypeOfBlocks(blocks) === to.dtype;
    for (let first = 0; first < matrix.rows; first += together) {
      const last = Math.min(matrix.rows, first + together);
      yield {
        tensor,
        file,
        start: start + first * storedRow,
        end: start + last * storedRow,
        use(bytes) {
          const values = asTheyAre ? undefined : valuesOf(bytes, entry, fold, wide);
          const narrowed = to.dtype === 'f16' && (dtype !== 'F16' || fold !== undefined);
          if (values && narrowed && fit && !fit.add(tensor, values)) return;
          const { codes, scales } = values
            ? packerOf(to.dtype as ValueDtype)(values, weight.cols, tensor)
            : packBlocks(blocks!, bytes, weight.cols, tensor);
          for (const { row, end, part, at } of runs(matrix, first, last)) {
            const place = weight.parts[part]!;
            const rowsOf = (of: ArrayBufferView<ArrayBuffer>, bytes: number): Uint8Array<ArrayBuffer> =>
              new Uint8Array(of.buffer, of.byteOffset + (row - first) * bytes, (end - row) * bytes);
            write(place.codes, at * size.codes, rowsOf(codes, size.codes));
            if (scales) write(place.scales!, at * size.scales, rowsOf(scales, size.scales));
          }
          // What was read is its owner's.
          for (const buffer of new Set([values?.buffer ?? codes.buffer, codes.buffer]))
            if (buffer !== bytes.buffer) free(buffer);
        },
      };
    }
  }
  for (const bias of fill.biases) {
    const { weight } = bias;
    const before = weight.hasGain ? gainSize(weight.cols) : 0;
    yield vector(bias, (values) => {
      for (const { row, end, part, at } of runs(bias, 0, bias.rows))
        write(weight.parts[part]!.vectors!, 4 * (before + at), values.subarray(row, end));
    });
  }
  for (const gain of fill.gains)
    yield vector(gain, (values) => {
      for (const { vectors } of gain.weight.parts) {
        write(vectors!, 0, values);
        write(vectors!, 4 * stride(gain.weight.cols), Float32Array.of(gainRange(values)));
      }
    });
  for (const plain of fill.plain)
    yield vector(plain, (values) => {
      const { buffer, at, place } = plain;
      const placed = place ? new Float32Array(values.length) : values;
      if (place) for (const [i, value] of values.entries()) placed[place(i)] = value;
      write(buffer, 4 * at, placed);
    });
}

/** Neighbours in a file make one read: small tensors would cost a way to the server each. */
function readsOf(pieces: Iterable<Piece>): (Span & { pieces: Piece[] })[] {
  const ordered = [...pieces].sort((a, b) =>
    a.file === b.file ? a.start - b.start : a.file < b.file ? -1 : 1,
  );
  const reads: (Span & { pieces: Piece[] })[] = [];
  for (let from = 0, to = 0; from < ordered.length; from = to) {
    const { file, start } = ordered[from]!;
    let { end } = ordered[from]!;
    for (to = from + 1; to < ordered.length; to++) {
      const next = ordered[to]!;
      if (next.file !== file || next.start !== end || next.end - start > READ_BYTES) break;
      end = next.end;
    }
    reads.push({ file, start, end, pieces: ordered.slice(from, to) });
  }
  return reads;
}

/** A stored copy that differs is not shared: running one of the two would be a wrong guess. */
async function checkCopies(
  checkpoint: Checkpoint,
  specs: readonly TensorSpec[],
  signal?: AbortSignal,
): Promise<void> {
  for (const { name, copyOf } of specs) {
    const stored = checkpoint.tensors.get(name);
    if (!copyOf || !stored) continue;
    const first = checkpoint.tensors.get(copyOf)!;
    const same = stored.dtype === first.dtype && stored.blocks === first.blocks;
    const length = stored.end - stored.start;
    const equal = async (start: number): Promise<boolean> => {
      if (!same) return false;
      const end = Math.min(length, start + READ_BYTES);
      const [copy, owner] = await Promise.all([
        checkpoint.read(name, start, end, signal),
        checkpoint.read(copyOf, start, end, signal),
      ]);
      const found = copy.every((byte, i) => byte === owner[i]);
      if (checkpoint.fresh) for (const { buffer } of [copy, owner]) free(buffer);
      return found;
    };
    for (let start = 0; start < length; start += READ_BYTES) {
      if (await equal(start)) continue;
      throw new ShishuError('bad-checkpoint', `Tensor "${name}" differs from "${copyOf}", which it shares.`, {
        details: { tensor: name, copyOf },
        mend: copyOf.startsWith('model.layers.')
          ? 'Lower num_mlp_shared, or leave the second member of the pair out.'
          : 'Set tie_word_embeddings to false in config.json, or leave the copy out.',
      });
    }
  }
}

/** Reads a checkpoint into allocated weights, some rows at a time and from a few places at once, so that no large tensor is whole in memory. */
export async function fillFromCheckpoint(
  gpu: Gpu,
  fill: FillPlan,
  checkpoint: Checkpoint,
  specs: readonly TensorSpec[],
  { signal, onBytes, fit }: FillOptions = {},
): Promise<void> {
  const told: Promise<void>[] = [];
  const blocks = [...checkpoint.tensors.values()].some((tensor) => tensor.blocks);
  const wide = blocks ? (await importModule(() => import('../formats/gguf/widen.ts'))).widen : undefined;
  await checkpoint.readSpans(
    readsOf(piecesOf(gpu, fill, checkpoint, fit, wide)),
    ({ start, pieces }, bytes) => {
      const end = watchErrors(gpu, 'the weights');
      try {
        for (const piece of pieces) {
          throwIfAborted(signal);
          onBytes?.(piece.end - piece.start, piece.tensor);
          piece.use(bytes.subarray(piece.start - start, piece.end - start));
        }
      } finally {
        const word = end();
        word.catch(() => {});
        told.push(word);
      }
    },
    signal,
  );
  await Promise.all(told);
  await checkCopies(checkpoint, specs, signal);
  throwIfAborted(signal);
}

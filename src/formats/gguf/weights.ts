import type { Source } from '../source.ts';
import type { TensorEntry } from '../tensor-entry.ts';
import type { GgufTensor } from './header.ts';
import { familyName } from './names.ts';
import { type BlockType, TYPES } from './types.ts';
import { widen } from './widen.ts';

type Bytes = Uint8Array<ArrayBuffer>;

/**
 * A tensor among those of its file, in bytes as they are read: first all of them with quantised values as F32, one after the
 * other, then all with blocks as they are.
 */
interface Placed {
  stored: GgufTensor;
  widened: boolean;
  start: number;
  end: number;
  /** What can be read by itself: a block, or the rows of a head, in bytes of the file and as they are read. */
  unit: { stored: number; read: number };
  /** Rows of a head that are in another order, and the bytes of one as read. */
  head: { rows: number; rowBytes: number } | undefined;
}

/** A run of units of one tensor, in bytes of the file. */
interface Run {
  placed: Placed;
  start: number;
  end: number;
}

const isBlocks = (type: GgufTensor['type']): type is BlockType => !['F32', 'F16', 'BF16'].includes(type);

/** Larger holes between tensors are not read over. */
const HOLE = 4096;

/**
 * The weights of GGUF files as F32, F16 and BF16, or in their blocks: what `read` gives are the values of quantised blocks, or past
 * those the blocks, and rows in the order that families know.
 */
export class GgufWeights {
  /** By the names of families. */
  readonly entries = new Map<string, TensorEntry>();
  /** The same with quantised blocks as they are. */
  readonly blocks = new Map<string, TensorEntry>();
  readonly #files = new Map<string, Placed[]>();
  /** Bytes of a file's values. */
  readonly #sizes = new Map<string, number>();
  readonly #source: Source;
  readonly #names: Readonly<Record<string, string>>;

  /**
   * @param headRows of tensors whose rows are interleaved: how many rows a head has
   * @param names those of the architecture alone, as `familyName` takes them
   */
  constructor(
    source: Source,
    tensors: ReadonlyMap<string, GgufTensor>,
    headRows: (name: string) => number | undefined,
    names: Readonly<Record<string, string>> = {},
  ) {
    this.#source = source;
    this.#names = names;
    const ordered = [...tensors].sort(([, a], [, b]) => a.start - b.start);
    for (const [name, stored] of ordered) {
      this.#place(name, stored, headRows(name), true);
      this.#sizes.set(stored.file, this.#files.get(stored.file)!.at(-1)!.end);
    }
    for (const [name, stored] of ordered) this.#place(name, stored, headRows(name), false);
  }

  #place(name: string, stored: GgufTensor, rows: number | undefined, widened: boolean): void {
    const { file, type, shape } = stored;
    const list = this.#files.get(file) ?? [];
    this.#files.set(file, list);
    const blocks = isBlocks(type);
    const { values, bytes } = TYPES[type];
    // Of one value as it is read.
    const size = !blocks || !widened ? bytes / values : 4;
    const columns = shape.length > 1 ? shape.at(-1)! : 1;
    const unitValues = rows === undefined ? values : rows * columns;
    const start = list.at(-1)?.end ?? 0;
    const end = start + ((stored.end - stored.start) / bytes) * values * size;
    list.push({
      stored,
      widened,
      start,
      end,
      unit: { stored: (unitValues / values) * bytes, read: unitValues * size },
      head: rows === undefined ? undefined : { rows, rowBytes: columns * size },
    });
    (widened ? this.entries : this.blocks).set(familyName(name, this.#names), {
      file,
      dtype: blocks ? 'F32' : type,
      shape,
      start,
      end,
      stored: { type, bytes: stored.end - stored.start },
      ...(blocks && !widened && { blocks: type }),
    });
  }

  /** Whether the file is one of weights. */
  has(file: string): boolean {
    return this.#files.has(file);
  }

  size(file: string): number {
    return this.#sizes.get(file) ?? 0;
  }

  async read(file: string, start = 0, end = this.size(file), signal?: AbortSignal): Promise<Bytes> {
    let read: Bytes = new Uint8Array(0);
    const keep = (bytes: Bytes): void => {
      read = bytes.slice();
    };
    if (end > start) await this.readSpans(file, [start, end], keep, signal);
    return read;
  }

  /** As `Source.readSpans`; each unit is read once. */
  async readSpans(
    file: string,
    cuts: readonly number[],
    use: (bytes: Bytes) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const [first, last] = [cuts[0]!, cuts.at(-1)!];
    const runs = this.#runsOf(file, cuts);
    const [from] = runs;
    // What has been read and not yet used, from byte `at` on.
    let held: Bytes = new Uint8Array(0);
    let at = from ? startOf(from) : first;
    let next = 1;
    const take = (run: Run, bytes: Bytes): void => {
      const values = valuesOf(run.placed, bytes);
      held = held.length === 0 ? values : joined(held, values);
      const stop = at + held.length;
      while (next < cuts.length && cuts[next]! <= stop) {
        use(held.subarray(cuts[next - 1]! - at, cuts[next]! - at));
        next++;
      }
      const kept = Math.min(stop, cuts[next - 1]!);
      held = held.slice(kept - at);
      at = kept;
    };
    for (let begin = 0; begin < runs.length; ) {
      // Runs that follow one another in the file, but for the padding between tensors.
      const group: (Run | undefined)[] = [runs[begin]!];
      const stored = [runs[begin]!.start, runs[begin]!.end];
      let stop = begin + 1;
      for (; stop < runs.length && runs[stop]!.start - stored.at(-1)! <= HOLE; stop++) {
        const run = runs[stop]!;
        if (run.start > stored.at(-1)!) {
          group.push(undefined);
          stored.push(run.start);
        }
        group.push(run);
        stored.push(run.end);
      }
      let index = 0;
      await this.#source.readSpans(
        file,
        stored,
        (bytes) => {
          const run = group[index++];
          if (run) take(run, bytes);
        },
        signal,
      );
      begin = stop;
    }
    // Spans of no bytes.
    while (next < cuts.length && cuts[next] === last && cuts[next - 1] === last) {
      use(new Uint8Array(0));
      next++;
    }
  }

  /** The units that hold these spans, cut where spans end so that each can be used as it comes. */
  #runsOf(file: string, cuts: readonly number[]): Run[] {
    const runs: Run[] = [];
    const ends = cuts.slice(1);
    let next = 0;
    for (const placed of this.#files.get(file) ?? []) {
      const { unit, stored } = placed;
      const begin = Math.max(placed.start, cuts[0]!);
      const stop = Math.min(placed.end, cuts.at(-1)!);
      if (begin >= stop) continue;
      let done = Math.floor((begin - placed.start) / unit.read);
      while (next < ends.length && ends[next]! <= begin) next++;
      for (let end = begin; end < stop; ) {
        end = Math.min(stop, ends[next] ?? stop);
        if (end === ends[next]) next++;
        const upTo = Math.ceil((end - placed.start) / unit.read);
        if (upTo > done)
          runs.push({
            placed,
            start: stored.start + done * unit.stored,
            end: stored.start + upTo * unit.stored,
          });
        done = Math.max(done, upTo);
      }
    }
    return runs;
  }
}

const startOf = ({ placed, start }: Run): number =>
  placed.start + ((start - placed.stored.start) / placed.unit.stored) * placed.unit.read;

function joined(a: Uint8Array, b: Uint8Array): Bytes {
  const all = new Uint8Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}

/** What units of a tensor are as read. */
function valuesOf({ stored: { type }, widened, head }: Placed, bytes: Bytes): Bytes {
  const read = widened && isBlocks(type) ? new Uint8Array(widen(bytes, type).buffer) : bytes;
  return head ? firstsThenSeconds(read, head.rows, head.rowBytes) : read;
}

/** Of each head, the rows 0, 2, 4 … and then 1, 3, 5 …: the dimensions that rotate together lie side by side in the file. */
function firstsThenSeconds(bytes: Bytes, rows: number, rowBytes: number): Bytes {
  const out = new Uint8Array(bytes.length);
  const all = bytes.length / rowBytes;
  for (let row = 0; row < all; row++) {
    const inHead = row % rows;
    const to = row - inHead + (inHead % 2) * (rows / 2) + (inHead >> 1);
    out.set(bytes.subarray(row * rowBytes, (row + 1) * rowBytes), to * rowBytes);
  }
  return out;
}

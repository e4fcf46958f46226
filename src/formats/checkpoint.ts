import { anySignal, ShishuError, throwIfAborted } from '../errors.ts';
import { lanesOf } from './concurrency.ts';
import { isObject, readJson } from './json.ts';
import { isPlainPath } from './plain-path.ts';
import { readHeader, type SafetensorsHeader } from './safetensors.ts';
import { mayBeMissing, type Source } from './source.ts';
import type { TensorEntry } from './tensor-entry.ts';

const SINGLE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';
const USABLE = ['F32', 'F16', 'BF16'] as const;

/** A tensor that a model needs. */
export interface WantedTensor {
  name: string;
  /** Row-major. */
  shape: readonly number[];
  /** It repeats this tensor; either of them may be left out. */
  copyOf?: string;
  /** The stored tensor of which it is rows from `row` on, of `rows`; without it, one of its own name. */
  within?: { name: string; row: number; rows: number };
}

/** A tensor whose dtype the engine can read. */
export interface UsableTensor extends TensorEntry {
  dtype: (typeof USABLE)[number];
}

/** The weights of a model, in one file or in shards; only headers have been read. */
export interface Checkpoint {
  /** The wanted tensors that are there, in the order wanted. */
  tensors: Map<string, UsableTensor>;
  /** Bytes of those tensors, as read. */
  bytes: number;
  /** The same as stored: fewer where they are widened as they are read. */
  storedBytes: number;
  /** What `read` gives is nobody else's. */
  fresh: boolean;
  /** Bytes `[startByte, endByte)` of one tensor, counted from its first. @throws ShishuError `io`, `bad-argument`. */
  read(
    name: string,
    startByte?: number,
    endByte?: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array<ArrayBuffer>>;
  /**
   * Reads spans, ordered by file and start, a few at once.
   * @param use has the bytes of a span until it returns
   * @throws ShishuError `io`; what `use` throws. Nothing is used any more then
   */
  readSpans<T extends Span>(
    spans: readonly T[],
    use: (span: T, bytes: Uint8Array<ArrayBuffer>) => void,
    signal?: AbortSignal,
  ): Promise<void>;
}

/** Bytes `[start, end)` of a file. */
export interface Span {
  file: string;
  start: number;
  end: number;
}

/**
 * Opens `model.safetensors`, or the shards of `model.safetensors.index.json`, and checks that they hold just what a
 * model needs.
 * @throws ShishuError `not-found`, `io`, `bad-checkpoint`, `unsupported` (a dtype), naming file and tensor.
 */
export async function openCheckpoint(
  source: Source,
  wanted: readonly WantedTensor[],
  signal?: AbortSignal,
): Promise<Checkpoint> {
  return checkpointOf(source, await readEntries(source, signal), wanted);
}

/**
 * Where all tensors of a folder lie, whatever they are.
 * @param asBlocks as `RawSource.tensors`
 * @throws ShishuError `not-found`, `io`, `bad-checkpoint`
 */
export async function readEntries(
  source: Source,
  signal?: AbortSignal,
  asBlocks = false,
): Promise<Map<string, TensorEntry>> {
  const own = source.tensors && (await source.tensors(signal, asBlocks));
  if (own) return own;
  try {
    return (await readHeader(source, SINGLE, signal)).tensors;
  } catch (error) {
    if (!mayBeMissing(error)) throw error;
    return readShards(source, error, signal).catch(async (failure) => {
      const other = mayBeMissing(failure) && (await source.tensors?.(signal, asBlocks, true));
      if (other) return other;
      throw failure;
    });
  }
}

/** The checkpoint of a folder whose tensors were found. @throws ShishuError `bad-checkpoint`, `unsupported` */
export function checkpointOf(
  source: Source,
  found: Map<string, TensorEntry>,
  wanted: readonly WantedTensor[],
): Checkpoint {
  const tensors = checkTensors(named(found, wanted), wanted);
  let bytes = 0;
  let storedBytes = 0;
  for (const { start, end, stored } of tensors.values()) {
    bytes += end - start;
    storedBytes += stored?.bytes ?? end - start;
  }
  return {
    tensors,
    bytes,
    storedBytes,
    fresh: source.fresh === true,
    async read(name, startByte = 0, endByte, aborted) {
      const entry = tensors.get(name);
      const length = entry ? entry.end - entry.start : 0;
      const stop = endByte ?? length;
      if (!entry || !(startByte >= 0 && startByte <= stop && stop <= length))
        throw new ShishuError(
          'bad-argument',
          `No bytes ${startByte} to ${stop} in tensor "${name}" (${length}).`,
          {
            details: { tensor: name, start: startByte, end: stop, length },
          },
        );
      return source.read(entry.file, entry.start + startByte, entry.start + stop, aborted);
    },
    async readSpans(spans, use, aborted) {
      const done = new AbortController();
      const signal = anySignal(done.signal, aborted);
      const lanes = lanesOf(spans, source.streams).map((lane) =>
        readLane(
          source,
          lane,
          (span, bytes) => {
            throwIfAborted(signal);
            use(span, bytes);
          },
          signal,
        ),
      );
      try {
        await Promise.all(lanes);
      } finally {
        done.abort();
      }
    },
  };
}

/** Reads spans one after the other, those that follow one another in a file over one connection where there are any. */
async function readLane<T extends Span>(
  source: Source,
  spans: readonly T[],
  use: (span: T, bytes: Uint8Array<ArrayBuffer>) => void,
  signal: AbortSignal,
): Promise<void> {
  for (let from = 0; from < spans.length; ) {
    const { file, start } = spans[from]!;
    const cuts = [start];
    for (let to = from; spans[to]?.file === file && spans[to]!.start === cuts.at(-1); to++)
      cuts.push(spans[to]!.end);
    await source.readSpans(file, cuts, (bytes) => use(spans[from++]!, bytes), signal);
  }
}

async function readShard(source: Source, file: string, signal?: AbortSignal): Promise<SafetensorsHeader> {
  return readHeader(source, file, signal).catch((error) => {
    if (!(error instanceof ShishuError && error.code === 'not-found')) throw error;
    throw new ShishuError('not-found', `${file}, named by ${INDEX}, is not in ${source.name}.`, {
      details: { file, index: INDEX },
      mend: 'Add the missing shard to the folder.',
    });
  });
}

/** @param single why there is no file with all weights */
async function readShards(
  source: Source,
  single: unknown,
  signal?: AbortSignal,
): Promise<Map<string, TensorEntry>> {
  const map = await readWeightMap(source, single, signal);
  const files = [...new Set(map.values())];
  const headers = await Promise.all(files.map((file) => readShard(source, file, signal)));
  const tensors = new Map<string, TensorEntry>();
  files.forEach((file, i) => {
    for (const [name, entry] of headers[i]!.tensors) {
      const named = map.get(name);
      if (named !== file)
        throw indexError(
          `${file} holds "${name}", which the index ${named ? `puts in ${named}` : 'lacks'}.`,
          file,
          name,
        );
      tensors.set(name, entry);
    }
  });
  for (const [name, file] of map)
    if (!tensors.has(name))
      throw indexError(`${file} holds no "${name}", though the index says so.`, file, name);
  return tensors;
}

function indexError(message: string, file: string, tensor: string): ShishuError {
  return new ShishuError('bad-checkpoint', `${INDEX}: ${message}`, {
    details: { file, index: INDEX, tensor },
    mend: 'The index and the shards may be of different models: fetch them again.',
  });
}

async function readWeightMap(
  source: Source,
  single: unknown,
  signal?: AbortSignal,
): Promise<Map<string, string>> {
  const json = await readJson(source, INDEX, { code: 'bad-checkpoint', uniqueKeys: true }, signal).catch(
    (cause) => {
      if (!mayBeMissing(cause)) throw cause;
      // A refusal says more than a file that is not there.
      for (const error of [single, cause])
        if (!(error instanceof ShishuError) || error.code !== 'not-found') throw error;
      throw new ShishuError('not-found', `Neither ${SINGLE} nor ${INDEX} is in ${source.name}.`, {
        details: { file: SINGLE, index: INDEX },
        mend: 'Weights in other formats must be converted to safetensors first.',
        cause,
      });
    },
  );
  const map = json.weight_map;
  if (!isObject(map))
    throw new ShishuError('bad-checkpoint', `${INDEX}: "weight_map" is not an object.`, {
      details: { file: INDEX },
    });
  return new Map(
    Object.entries(map).map(([name, file]) => {
      if (typeof file !== 'string' || !isPlainPath(file))
        throw indexError(
          `"${name}" is put in ${JSON.stringify(file)}, which is no file of the folder.`,
          INDEX,
          name,
        );
      return [name, file];
    }),
  );
}

/** A model that was saved without its head (Qwen3-Embedding) leaves the first part of the names out. */
function named(found: Map<string, TensorEntry>, wanted: readonly WantedTensor[]): Map<string, TensorEntry> {
  const stored = ({ name, within }: WantedTensor): string => within?.name ?? name;
  const bare = (tensor: WantedTensor): string => stored(tensor).replace(/^model\./, '');
  if (wanted.some((tensor) => found.has(stored(tensor))) || !wanted.some((tensor) => found.has(bare(tensor))))
    return found;
  return new Map([...found].map(([name, entry]) => [`model.${name}`, entry]));
}

/** Left by older exports, never needed. */
const HARMLESS = /\.rotary_emb\.inv_freq$/;

function checkTensors(
  found: Map<string, TensorEntry>,
  wanted: readonly WantedTensor[],
): Map<string, UsableTensor> {
  const names = new Set(wanted.map(({ name, within }) => within?.name ?? name));
  const extra = [...found.keys()].filter((name) => !names.has(name) && !HARMLESS.test(name));
  if (extra.length > 0) throw extraError(extra, found, wanted);
  // Which of two that share their values is stored is the exporter's choice.
  const copies = new Map<string, string>();
  for (const { name, copyOf } of wanted)
    if (copyOf !== undefined && found.has(name) && !found.has(copyOf)) copies.set(copyOf, name);
  const missing = wanted.filter(
    ({ name, copyOf, within }) =>
      copyOf === undefined && !found.has(within?.name ?? name) && !copies.has(name),
  );
  if (missing.length > 0)
    throw new ShishuError(
      'bad-checkpoint',
      `The checkpoint lacks ${list([...new Set(missing.map(({ name, within }) => within?.name ?? name))])}.`,
      {
        details: { tensor: missing[0]!.within?.name ?? missing[0]!.name, count: missing.length },
        mend: 'config.json may belong to another model, or a shard may be left out.',
      },
    );
  const tensors = new Map<string, UsableTensor>();
  for (const { name, shape, copyOf, within } of wanted) {
    const stored = within?.name ?? copies.get(name) ?? name;
    const entry = found.get(stored);
    if (within && entry) {
      const [rows, ...others] = shape;
      const whole = checkTensor(stored, entry, [within.rows, ...others]);
      const row = (whole.end - whole.start) / within.rows;
      const start = whole.start + within.row * row;
      tensors.set(name, { ...whole, shape, start, end: start + rows! * row });
      continue;
    }
    // One that stands in for another is no second copy.
    if (entry && copies.get(copyOf ?? '') !== name) tensors.set(name, checkTensor(stored, entry, shape));
  }
  return tensors;
}

function checkTensor(name: string, entry: TensorEntry, shape: readonly number[]): UsableTensor {
  const { file, dtype } = entry;
  if (entry.shape.length !== shape.length || entry.shape.some((size, i) => size !== shape[i]))
    throw new ShishuError(
      'bad-checkpoint',
      `${file}: tensor "${name}" has shape [${entry.shape}], config.json asks for [${shape}].`,
      {
        details: { file, tensor: name, found: entry.shape, expected: shape },
        mend: 'config.json may belong to another model.',
      },
    );
  const usable = USABLE.find((each) => each === dtype);
  if (!usable)
    throw new ShishuError('unsupported', `${file}: tensor "${name}" is ${dtype}.`, {
      details: { file, tensor: name, dtype },
      mend: `Supported: ${USABLE.join(', ')}.`,
    });
  return { ...entry, dtype: usable };
}

function extraError(
  extra: readonly string[],
  found: Map<string, TensorEntry>,
  wanted: readonly WantedTensor[],
): ShishuError {
  for (const name of extra) {
    const layer = /^(model\.layers\.\d+\.)(?:self_attn|input_layernorm)\./.exec(name)?.[1];
    if (!layer) continue;
    const specs = wanted.filter((spec) => spec.name.startsWith(layer));
    if (specs.length === 0 || specs.some((spec) => spec.name.startsWith(`${layer}self_attn.`))) continue;
    const file = found.get(name)?.file ?? '';
    return new ShishuError(
      'bad-checkpoint',
      `${file}: tensor "${name}" is of an attention, but config.json makes ${layer.slice(0, -1)} an MLP-only block.`,
      {
        details: { file, tensor: name },
        mend: 'Check num_decoder_front, num_mlp and num_decoder_end, or leave the tensor out.',
      },
    );
  }
  const file = found.get(extra[0]!)?.file ?? '';
  return new ShishuError('bad-checkpoint', `${file}: config.json has no place for ${list(extra)}.`, {
    details: { file, tensor: extra[0]!, count: extra.length },
    mend: 'config.json may belong to another model, or the model may have parts that are not supported.',
  });
}

function list(names: readonly string[]): string {
  const shown = names.slice(0, 3).map((name) => `"${name}"`);
  const more = names.length - shown.length;
  return `the tensor${names.length > 1 ? 's' : ''} ${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

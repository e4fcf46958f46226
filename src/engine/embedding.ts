// One vector for each text: hidden states after the last norm, of the last token or the mean of all.
import { refuseOption, ShishuError, throwIfAborted } from '../errors.ts';
import type { EmbeddingFiles } from '../formats/embedding-files.ts';
import type { Tokenizer } from '../formats/tokenizer.ts';
import { readBuffer } from '../gpu/buffer.ts';
import { type Dispatch, Recorder } from '../gpu/recorder.ts';
import { norm } from '../kernels/norm.ts';
import { packSpans, pool, SPAN_BYTES, type Span } from '../kernels/pool.ts';
import { stride } from '../kernels/tensor.ts';
import { headFactor } from '../model/fold.ts';
import type { ForwardParts } from '../model/forward.ts';
import type { Plan } from '../model/spec.ts';
import { clearNote, readOverflow } from './kv-range.ts';
import { abortSignal, flag, givenOptions, number } from './options.ts';
import { checkIds, idList, isIds } from './prompt.ts';
import type { Runner } from './runner.ts';
import type { Row, WholeCall } from './step.ts';
import type { Embeddings, EmbedInput, EmbedOptions, TokenIds } from './types.ts';

/** Chunks of a prompt, and texts, that run before others get their turn. */
const MOST_CHUNKS = 4;
const MOST_TEXTS = 64;

/** What the words of sentence-transformers are here; others are refused by name. */
const POOLINGS: Readonly<Record<string, EmbedOptions['pooling']>> = { lasttoken: 'last', mean: 'mean' };

/** What embedding needs of a model. */
interface EmbeddingModel {
  tokenizer: Tokenizer;
  runner: Runner;
  embeddingFiles(): EmbeddingFiles | undefined;
}

type Checked = Omit<EmbedOptions, 'modes' | 'adapter'> &
  Required<Pick<EmbedOptions, 'pooling' | 'normalize'>>;

/** A text that is to run: its tokens, the first one that counts, and how much each counts. */
export interface PooledText {
  tokens: readonly number[];
  from: number;
  scale: number;
}

/** @throws ShishuError `bad-argument` naming an option that is unknown or out of range */
export function checkEmbedOptions(options: EmbedOptions, hiddenSize: number): EmbedOptions {
  return givenOptions<EmbedOptions>(options, {
    pooling: (name, value) =>
      Object.values(POOLINGS).includes(value as 'last') ? value : refuseOption(name, value, 'last or mean'),
    normalize: flag,
    instruction: (name, value) => (typeof value === 'string' ? value : refuseOption(name, value, 'a text')),
    dimensions: number(1, hiddenSize, { whole: true }),
    truncate: flag,
    onProgress: (name, value) =>
      typeof value === 'function' ? value : refuseOption(name, value, 'a function'),
    // The model judges them by its plan.
    modes: (_, value) => value,
    adapter: (_, value) => value,
    signal: abortSignal,
  });
}

/** Options with what the model's files say of those that are left out. @throws ShishuError `unsupported` naming a pooling */
function withFiles(options: EmbedOptions, files: EmbeddingFiles | undefined): Checked {
  const [mode = 'lasttoken', ...more] = files?.pooling ?? [];
  const own = more.length === 0 && Object.hasOwn(POOLINGS, mode) ? POOLINGS[mode] : undefined;
  const pooling = options.pooling ?? own;
  if (!pooling)
    throw new ShishuError(
      'unsupported',
      `The model's files pool by ${[mode, ...more].join(' and ')}, which is not supported.`,
      {
        details: { pooling: [mode, ...more] },
        mend: `Supported: ${Object.keys(POOLINGS).join(', ')}; the option "pooling" takes one all the same.`,
      },
    );
  return { ...options, pooling, normalize: options.normalize ?? files?.normalize ?? true };
}

/** What goes before each text. @throws ShishuError `bad-argument` for a word that is no prompt of the model's */
function promptOf({ instruction }: EmbedOptions, files: EmbeddingFiles | undefined): string {
  if (instruction === undefined) return files?.defaultPrompt ?? '';
  const named = files?.prompts.get(instruction);
  if (named !== undefined) return named;
  if (!/^[\w.-]+$/.test(instruction)) return instruction;
  const names = [...(files?.prompts.keys() ?? [])];
  throw new ShishuError('bad-argument', `The model's files name no prompt "${instruction}".`, {
    details: { option: 'instruction', value: instruction },
    mend: `${names.length > 0 ? `They name: ${names.join(', ')}.` : 'They name none.'} A text of your own is put before each text as it is, and is more than a word.`,
  });
}

/** The single texts of what was given. @throws ShishuError `bad-argument` */
function listOf(input: EmbedInput): readonly (string | TokenIds)[] {
  if (typeof input === 'string' || isIds(input)) return [input];
  const wanted = 'a text, token ids, or a list of them';
  if (!Array.isArray(input)) return refuseOption('texts', input, wanted);
  for (const [i, each] of (input as readonly unknown[]).entries())
    if (typeof each !== 'string' && !isIds(each) && !(Array.isArray(each) && each.length === 0))
      refuseOption(`texts[${i}]`, each, wanted);
  return input as readonly (string | TokenIds)[];
}

/** Ids of a text, at most `limit`: special tokens around it stay. */
function cut(tokenizer: Tokenizer, text: string, ids: readonly number[], limit: number): readonly number[] {
  const bare = tokenizer.encode(text, { addSpecialTokens: false });
  const around = ids.length - bare.length;
  let before = 0;
  while (before < around && bare.some((id, i) => ids[before + i] !== id)) before++;
  const kept = Math.max(0, limit - around);
  return [...ids.slice(0, before), ...bare.slice(0, kept), ...ids.slice(before + bare.length)].slice(
    0,
    limit,
  );
}

/** Tokens of a prompt that come before those of a text, as sentence-transformers counts them. */
function promptTokens(tokenizer: Tokenizer, prompt: string): number {
  const ids = tokenizer.encode(prompt);
  return ids.length - (tokenizer.isSilent(ids.at(-1) ?? -1) ? 1 : 0);
}

/**
 * The texts as tokens.
 * @throws ShishuError `bad-argument` for one without tokens, `context-full`, naming the text
 */
function textsOf(
  { tokenizer, runner }: EmbeddingModel,
  input: EmbedInput,
  options: Checked,
  files: EmbeddingFiles | undefined,
): PooledText[] {
  const { spec, kv } = runner.parts;
  const limit = kv.context;
  const prompt = promptOf(options, files);
  const skipped =
    prompt && files?.includePrompt === false && options.pooling === 'mean'
      ? promptTokens(tokenizer, prompt)
      : 0;
  return listOf(input).map((each, i): PooledText => {
    let tokens: readonly number[];
    let first = 0;
    if (typeof each === 'string') {
      tokens = tokenizer.encode(prompt + each);
      if (tokens.length > limit && options.truncate) tokens = cut(tokenizer, prompt + each, tokens, limit);
      first = Math.min(skipped, tokens.length - 1);
    } else {
      if (options.instruction)
        refuseOption('instruction', options.instruction, 'none beside token ids, which run as they are');
      tokens = idList(each);
      checkIds(tokens, spec.vocabSize);
      if (options.truncate) tokens = tokens.slice(0, limit);
    }
    const details = { text: i, tokens: tokens.length };
    if (tokens.length === 0)
      throw new ShishuError('bad-argument', `Text ${i} is empty: it has no tokens.`, {
        details,
        mend: 'Leave it out.',
      });
    if (tokens.length > limit)
      throw new ShishuError(
        'context-full',
        `Text ${i} has ${tokens.length} tokens, the context holds ${limit}.`,
        {
          details: { ...details, limit },
          mend: 'Load the model with a larger contextLength, split the text, or use the option "truncate".',
        },
      );
    const from = options.pooling === 'last' ? tokens.length - 1 : first;
    return { tokens, from, scale: 1 / (tokens.length - from) };
  });
}

/** Neighbouring texts that run before others get their turn. */
function* turnsOf(texts: readonly PooledText[], rows: number): Generator<PooledText[]> {
  let turn: PooledText[] = [];
  let tokens = 0;
  for (const text of texts) {
    if (turn.length === MOST_TEXTS || (turn.length > 0 && tokens + text.tokens.length > MOST_CHUNKS * rows)) {
      yield turn;
      [turn, tokens] = [[], 0];
    }
    turn.push(text);
    tokens += text.tokens.length;
  }
  if (turn.length > 0) yield turn;
}

/**
 * Runs texts as rows of as few forwards as slots and chunks allow; `(hidden)` for each. One row a text is read back. Nothing
 * else may be in flight.
 * @param slots of the KV cache, which lose what they hold
 */
export async function pooledStates(
  runner: Runner,
  plan: Plan,
  slots: readonly number[],
  texts: readonly PooledText[],
  { signal, adapted = false }: Omit<WholeCall, 'sequence'> = {},
): Promise<Float32Array<ArrayBuffer>[]> {
  const { parts, ledger } = runner;
  const { gpu, spec, scratch } = parts;
  const padded = stride(spec.hiddenSize);
  const out = ledger.storage('pooled', 4 * padded * texts.length, 'scratch');
  const spans = ledger.storage('spans', SPAN_BYTES * scratch.rows, 'scratch');
  try {
    const pooling = await recordPool(parts, spans, out);
    for (const slot of slots) clearNote(parts, slot);
    let rows: Row[] = [];
    let sums: Span[] = [];
    const submit = async (): Promise<void> => {
      throwIfAborted(signal);
      gpu.device.queue.writeBuffer(spans, 0, packSpans(sums));
      await runner.blockRows(plan, rows, sums.length, pooling, adapted);
      [rows, sums] = [[], []];
    };
    const factor = headFactor(spec);
    for (const [place, { tokens, from, scale }] of texts.entries()) {
      const sequence = slots[place % slots.length]!;
      // The text before in its slot is to have run.
      if (rows.some((row) => row.sequence === sequence)) await submit();
      for (let at = 0; at < tokens.length; ) {
        const end = Math.min(tokens.length, at + scratch.rows - rows.length);
        const begin = Math.max(from, at);
        if (begin < end)
          sums.push({
            first: rows.length + begin - at,
            count: end - begin,
            place,
            scale: scale / factor,
          });
        for (; at < end; at++) rows.push({ token: tokens[at]!, sequence, position: at });
        if (rows.length === scratch.rows) await submit();
      }
    }
    if (rows.length > 0) await submit();
    const values = new Float32Array(await readBuffer(gpu, out, 0, 4 * padded * texts.length));
    for (const slot of slots) {
      const overflow = await readOverflow(parts, slot);
      if (overflow) throw overflow;
    }
    return texts.map((_, i) => values.slice(i * padded, i * padded + spec.hiddenSize));
  } finally {
    ledger.release(out);
    ledger.release(spans);
  }
}

/** A text's vector as it was asked for: its first numbers, then of length 1. */
function shaped(
  state: Float32Array<ArrayBuffer>,
  { dimensions, normalize }: Checked,
): Float32Array<ArrayBuffer> {
  const vector = dimensions === undefined ? state : state.slice(0, dimensions);
  if (!normalize) return vector;
  const length = Math.max(1e-12, Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0)));
  return vector.map((value) => value / length);
}

/**
 * Makes vectors of texts, some at a time.
 * @param run states of texts that run in one turn
 * @throws ShishuError `bad-argument`, `context-full`, `unsupported`, before anything runs
 */
export async function embedTexts(
  model: EmbeddingModel,
  input: EmbedInput,
  given: EmbedOptions,
  run: (texts: readonly PooledText[]) => Promise<Float32Array<ArrayBuffer>[]>,
): Promise<Embeddings> {
  const files = model.embeddingFiles();
  const options = withFiles(given, files);
  const texts = textsOf(model, input, options, files);
  const embeddings: Embeddings['embeddings'] = [];
  for (const turn of turnsOf(texts, model.runner.parts.scratch.rows)) {
    for (const state of await run(turn)) embeddings.push(shaped(state, options));
    options.onProgress?.({ texts: embeddings.length, total: texts.length });
  }
  return { embeddings, tokens: texts.map(({ tokens }) => tokens.length) };
}

/** Records final norm over all rows, and sums of spans of them `(places, stride(hidden))`; no head is run. */
function recordPool(
  { gpu, tuning, spec, weights, scratch }: ForwardParts,
  spans: GPUBuffer,
  out: GPUBuffer,
): Promise<Dispatch[]> {
  const recorder = new Recorder(gpu);
  const { x, normed, step } = scratch;
  const vectors = weights.head.parts[0]!.vectors!;
  const eps = spec.rmsNormEps;
  norm(gpu, tuning, recorder, { label: 'final norm', x, vectors, out: normed, eps, head: false, step });
  pool(recorder, { x: { buffer: normed, cols: x.cols }, spans, out, step });
  return recorder.finish();
}

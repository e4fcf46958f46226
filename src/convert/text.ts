import { loadModel } from '../engine/engine.ts';
import { ShishuError, throwIfAborted } from '../errors.ts';
import type { ChatCorpus } from '../train/chat-corpus.ts';
import { knowsChatFormat } from '../train/chat-format.ts';
import { chatWindows, TRAINED_LENGTH } from './chat-windows.ts';
import type { OnGpu } from './on-gpu.ts';
import { sampleTexts } from './sample-text.ts';
import { SAMPLES_FILE, type Staged } from './staged.ts';
import { type TextPart, tokensOf } from './text-parts.ts';
import {
  checkEnough,
  countTokens,
  type MixturePart,
  type TokenPieces,
  tokensNeeded,
  type Windows,
  windowsOf,
} from './windows.ts';

export interface TextOptions {
  /** Calibration text. Without it chats of `corpus`, where the model's tokenizer knows their format, else text that the model samples. */
  text?: string | undefined;
  /** Instead of `text`: texts, chats and the model's own samples, each by its share of the tokens. */
  parts?: readonly TextPart[] | undefined;
  /** A text of another kind to measure on too. */
  other?: TextPart | undefined;
  /** Chats like those that the model was trained on. */
  corpus?: ChatCorpus | undefined;
  /** Most tokens of it to fit to and to measure on (default 20000, or what the model's size needs). */
  tokens?: number | undefined;
  /** Most tokens of a window (default 256; 128 of a corpus's chats). */
  window?: number | undefined;
  /** Of chats, sampled text, and what is held out (default 1). */
  seed?: number | undefined;
  /** Tokens to heal with. A corpus gives as many; a text what it has. */
  healTokens?: number | undefined;
  /** Where samples are kept, so that the next try needs no others. */
  kept?: SampleStore | undefined;
  signal?: AbortSignal | undefined;
  /** Tokens that the model has sampled, of those it is to sample. */
  onProgress?: ((done: number, total: number) => void) | undefined;
}

/** Texts that a model sampled, by what they were sampled with. */
export interface SampleStore {
  read(): Promise<Samples | undefined>;
  write(samples: Samples): Promise<void>;
}

interface Samples {
  seed: number;
  length: number;
  /** Index of the text behind the last. */
  next: number;
  texts: number[][];
}

/** Samples in a folder that is being written. @param onKept told when there are some */
export const sampleStore = (staged: Staged, onKept: () => void): SampleStore => ({
  async read() {
    const bytes = await staged.source.read(SAMPLES_FILE).catch((error) => {
      if (error instanceof ShishuError && error.code === 'not-found') return undefined;
      throw error;
    });
    return bytes && (JSON.parse(new TextDecoder().decode(bytes)) as Samples);
  },
  async write(samples) {
    await staged.write(SAMPLES_FILE, JSON.stringify(samples));
    onKept();
  },
});

const DEFAULT_TOKENS = 20_000;
const DEFAULT_WINDOW = 256;
/** Tokens that a model samples for healing, at most: then it passes over them more than once. */
const MOST_SAMPLED = 200_000;
/** Texts sampled at once. */
const SAMPLED_AT_ONCE = 16;
const KEEP_MS = 30_000;
/** Share of the test tokens that a text of another kind is measured on. */
const OTHER_SHARE = 0.2;

/** Windows of the given texts, of chats, or of text that the model samples. @throws ShishuError `bad-argument` when it is too short */
export async function textWindows(
  model: OnGpu,
  options: TextOptions,
  log: (line: string) => void,
): Promise<Windows> {
  const { source, spec, tokenizer, runner } = model;
  const { text, corpus, seed = 1, healTokens = 0, signal } = options;
  const needed = tokensNeeded(spec.hiddenSize);
  const tokens = options.tokens ?? Math.max(DEFAULT_TOKENS, 2 * needed);
  const most = runner.parts.kv.context;
  let parts =
    options.parts ?? (text === undefined ? [] : [{ kind: 'text', name: 'the text', texts: [text] }]);
  const length = Math.min(options.window ?? DEFAULT_WINDOW, most);
  const other = (): { other?: number[][] } =>
    options.other ? { other: otherWindows(model, options.other, { tokens, length, seed }) } : {};
  if (parts.length === 0 && corpus && knowsChatFormat(tokenizer)) {
    log('no text given: chats of the built-in corpus');
    checkEnough(tokens, spec.hiddenSize);
    const length = Math.min(options.window ?? TRAINED_LENGTH, most);
    return {
      ...(await chatWindows(source, corpus, { tokens, healing: healTokens, length, seed, signal })),
      ...other(),
    };
  }
  if (parts.length === 0) {
    log(`no text given: the model makes ${tokens + Math.min(healTokens, MOST_SAMPLED)} tokens of its own`);
    parts = [{ kind: 'own', name: "the model's own samples" }];
  }
  const weightOf = ({ weight = 1 }: TextPart): number => weight;
  const total = parts.reduce((sum, part) => sum + weightOf(part), 0);
  const all: Windows & { healing: MixturePart[] } = { calibration: [], choosing: [], test: [], healing: [] };
  for (const part of parts) {
    throwIfAborted(signal);
    if (part.kind !== 'own') log(`reading ${part.name}`);
    const share = weightOf(part) / total;
    const wanted = { tokens: Math.ceil(share * tokens), more: Math.ceil(share * healTokens) };
    const { calibration, choosing, test, rest } = windowsOf(
      part.kind === 'own'
        ? await ownPieces(model, { ...options, length, seed }, wanted, log)
        : piecesOf(model, part, seed),
      { ...wanted, length, begin: beginOf(model, part) },
    );
    all.calibration.push(...calibration);
    all.choosing.push(...choosing);
    all.test.push(...test);
    const windows = [...calibration, ...rest];
    if (windows.length === 0)
      throw new ShishuError('bad-argument', `${part.name} has no tokens.`, { details: { text: part.name } });
    all.healing.push({ name: part.name, weight: weightOf(part), windows });
  }
  const healing = all.healing.reduce((sum, { windows }) => sum + countTokens(windows), 0);
  log(
    `text: ${countTokens(all.calibration)} tokens to fit to, ${countTokens(all.choosing)} to choose by, ${countTokens(all.test)} to measure on` +
      (healTokens > 0 ? `, ${healing} to heal with` : ''),
  );
  checkEnough(
    countTokens(all.calibration) + countTokens(all.choosing) + countTokens(all.test),
    spec.hiddenSize,
  );
  return { ...all, ...other() };
}

/** Only a model that expects a begin-of-text token gets one before each window of a text; chats and samples have their own. */
const beginOf = ({ tokenizer, spec }: OnGpu, { kind }: TextPart): number | undefined =>
  kind === 'text' && tokenizer.encode('a')[0] === spec.bosTokenId ? spec.bosTokenId : undefined;

const piecesOf = (
  { tokenizer }: OnGpu,
  part: Exclude<TextPart, { kind: 'own' }>,
  seed: number,
): TokenPieces => ({ pieces: tokensOf(part, tokenizer, seed), whole: part.kind === 'chats' });

/** @throws ShishuError `bad-argument` where there is too little to measure on */
function otherWindows(
  model: OnGpu,
  part: TextPart,
  { tokens, length, seed }: { tokens: number; length: number; seed: number },
): number[][] {
  if (part.kind === 'own')
    throw new ShishuError('bad-argument', 'A text of another kind has to be given; samples are none.');
  const most = Math.ceil(OTHER_SHARE * tokens);
  const { calibration, choosing, test } = windowsOf(piecesOf(model, part, seed), {
    tokens: most,
    length,
    begin: beginOf(model, part),
  });
  const windows = [...calibration, ...choosing, ...test].filter((window) => window.length > 1);
  if (windows.length > 0) return windows;
  throw new ShishuError('bad-argument', `${part.name} is too short to measure on.`, {
    details: { text: part.name },
    mend: 'Give a longer text.',
  });
}

/** What the model samples by itself, several texts at once; what was kept of an earlier try is not sampled again. */
async function ownPieces(
  { source, dtype, tokenizer, runner }: OnGpu,
  { length, seed, kept, signal, onProgress }: TextOptions & { length: number; seed: number },
  wanted: { tokens: number; more: number },
  log: (line: string) => void,
): Promise<TokenPieces> {
  const total = wanted.tokens + Math.min(wanted.more, MOST_SAMPLED);
  const found = await kept?.read();
  const samples: Samples =
    found?.seed === seed && found.length === length ? found : { seed, length, next: 0, texts: [] };
  const { texts } = samples;
  let done = countTokens(texts);
  if (done < total) {
    if (done > 0) log(`${done} tokens of samples are there from before`);
    const { gpu } = runner.parts;
    const model = await loadModel(
      source,
      {
        dtype: dtype === 'F16' ? 'f16' : 'f32',
        contextLength: length,
        batch: SAMPLED_AT_ONCE,
        profile: gpu.profile,
        selfTest: false,
        tune: false,
        warn: () => {},
        ...(signal && { signal }),
      },
      { device: gpu.device },
    );
    try {
      let written = performance.now();
      for await (const { index, ids } of sampleTexts(model, {
        length,
        tokenizer,
        seed,
        first: samples.next,
        signal,
      })) {
        texts.push(ids);
        samples.next = index + 1;
        done += ids.length;
        onProgress?.(Math.min(done, total), total);
        if (done >= total || performance.now() - written > KEEP_MS) {
          await kept?.write(samples);
          written = performance.now();
          log(`${done} of ${total} tokens sampled`);
        }
        if (done >= total) break;
      }
    } finally {
      await model.dispose();
    }
  }
  return { pieces: texts, whole: true };
}

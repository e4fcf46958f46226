import type { ChatCorpus } from '../train/chat-corpus.ts';
import { knowsChatFormat } from '../train/chat-format.ts';
import { chatWindows, TRAINED_LENGTH } from './chat-windows.ts';
import type { OnGpu } from './on-gpu.ts';
import { boundaryTokens, samplerOf, sampleText } from './sample-text.ts';
import { checkEnough, tokensNeeded, type Windows, windowsOf } from './windows.ts';

export interface TextOptions {
  /** Calibration text. Without it chats of `corpus`, where the model's tokenizer knows their format, else text that the model samples. */
  text?: string | undefined;
  /** Chats like those that the model was trained on. */
  corpus?: ChatCorpus | undefined;
  /** Most tokens of it to fit to and to measure on (default 20000, or what the model's size needs). */
  tokens?: number | undefined;
  /** Most tokens of a window (default 256; 128 of a corpus's chats). */
  window?: number | undefined;
  /** Of chats and sampled text (default 1). */
  seed?: number | undefined;
  /** Tokens to heal with. A corpus gives as many; a text what it has. */
  healTokens?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Tokens that the model has sampled, of those it is to sample. */
  onProgress?: ((done: number, total: number) => void) | undefined;
}

const DEFAULT_TOKENS = 20_000;
const DEFAULT_WINDOW = 256;

/** Windows of the given text, of chats, or of text that the model samples. @throws ShishuError `bad-argument` when it is too short */
export async function textWindows(
  model: OnGpu,
  options: TextOptions,
  log: (line: string) => void,
): Promise<Windows> {
  const { source, spec, tokenizer, runner, plan } = model;
  const { text, corpus, seed = 1, healTokens = 0, signal, onProgress } = options;
  const needed = tokensNeeded(spec.hiddenSize);
  const tokens = options.tokens ?? Math.max(DEFAULT_TOKENS, 2 * needed);
  const most = runner.parts.kv.context;
  if (text === undefined && corpus && knowsChatFormat(tokenizer)) {
    log('no text given: chats of the built-in corpus');
    checkEnough(tokens, spec.hiddenSize);
    const length = Math.min(options.window ?? TRAINED_LENGTH, most);
    return chatWindows(source, corpus, { tokens, healing: healTokens, length, seed, signal });
  }
  const length = Math.min(options.window ?? DEFAULT_WINDOW, most);
  const begin = spec.bosTokenId;
  let ids: number[];
  let rest: number[] = [];
  if (text !== undefined) {
    const all = tokenizer.encode(text).filter((id, i) => i > 0 || id !== begin);
    ids = all.slice(0, tokens);
    if (healTokens > 0) rest = all.slice(tokens);
  } else {
    log(`no text given: the model makes ${tokens} tokens of its own`);
    const options = { tokens, length, ...boundaryTokens(spec), seed, signal, onProgress };
    ids = await sampleText(samplerOf(runner, plan), options);
  }
  // Only a model that expects a begin-of-text token gets one before each window.
  const expects = text === undefined || tokenizer.encode('a')[0] === begin;
  return windowsOf(ids, { length, hiddenSize: spec.hiddenSize, begin: expects ? begin : undefined, rest });
}

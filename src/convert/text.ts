import type { OnGpu } from './on-gpu.ts';
import { sampleText } from './sample-text.ts';
import { tokensNeeded, type Windows, windowsOf } from './windows.ts';

export interface TextOptions {
  /** Calibration text; without it the model's own, sampled. */
  text?: string | undefined;
  /** Most tokens of it (default 20000, or what the model's size needs). */
  tokens?: number | undefined;
  /** Most tokens of a window (default 256). */
  window?: number | undefined;
  /** Of sampled text (default 1). */
  seed?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Tokens that the model has made of those it is to make. */
  onProgress?: ((done: number, total: number) => void) | undefined;
}

const DEFAULT_TOKENS = 20_000;
const DEFAULT_WINDOW = 256;

/** Windows of the given text, or of text that the model makes. @throws ShishuError `bad-argument` when it is too short */
export async function textWindows(
  model: OnGpu,
  options: TextOptions,
  log: (line: string) => void,
): Promise<Windows> {
  const { config, tokenizer, runner, plan } = model;
  const { text, seed = 1, signal, onProgress } = options;
  const needed = tokensNeeded(config.hiddenSize);
  const tokens = options.tokens ?? Math.max(DEFAULT_TOKENS, 2 * needed);
  const length = Math.min(options.window ?? DEFAULT_WINDOW, runner.parts.kv.context);
  const begin = config.bosTokenId;
  let ids: number[];
  if (text !== undefined)
    ids = tokenizer
      .encode(text)
      .filter((id, i) => i > 0 || id !== begin)
      .slice(0, tokens);
  else {
    log(`no text given: the model makes ${tokens} tokens of its own`);
    const enders = begin === undefined ? config.eosTokenIds : [...config.eosTokenIds, begin];
    const first = begin ?? config.eosTokenIds[0] ?? 0;
    ids = await sampleText(runner, plan, { tokens, length, begin: first, enders, seed, signal, onProgress });
  }
  // Only a model that expects a begin-of-text token gets one before each window.
  const expects = text === undefined || tokenizer.encode('a')[0] === begin;
  return windowsOf(ids, { length, hiddenSize: config.hiddenSize, begin: expects ? begin : undefined });
}

// What a model is worth: text, recall, and how far it answers as its parent does.
import { type Scores, scoreOf } from '../engine/scoring.ts';
import { throwIfAborted } from '../errors.ts';
import { type Agreement, type Answer, agreementOf } from './answers.ts';
import type { LoadedModel } from './calibrate.ts';
import type { OnGpu } from './on-gpu.ts';
import { OTHER_TEXT } from './other-text.ts';
import { type Recall, type RecallList, recallListsOf, recallOf } from './recall.ts';
import type { TokenWindows, Windows } from './windows.ts';

/** How likely a model finds a text: mean nats of all tokens but the first of each window, and their exponential. */
export interface TextMeasure {
  tokens: number;
  nats: number;
  perplexity: number;
}

/** What a model is worth, as in `report.json`. */
export interface Quality {
  /** Held-out text of the kind that it was made with, */
  heldOut: TextMeasure;
  /** and text of another kind. */
  other: TextMeasure;
  /** Random words that come twice: how well the second time is known. Left out for vocabularies that have not their letters. */
  recall?: Recall;
  /** How near it is to its parent's answers. */
  agreement?: Agreement;
}

/** The measures in one line. */
export function qualityText({ heldOut, other, recall, agreement }: Quality): string {
  return [
    `perplexity ${heldOut.perplexity.toFixed(3)}`,
    `of other text ${other.perplexity.toFixed(3)}`,
    ...(recall ? [`recall ${recall.accuracy.toFixed(3)}`] : []),
    ...(agreement ? [`${(100 * agreement.same).toFixed(1)} % of the parent's tokens`] : []),
  ].join(', ');
}

/** What models are measured on. */
export interface QualityTexts {
  heldOut: TokenWindows;
  other: TokenWindows;
  recall: readonly RecallList[];
}

/** Lists of words, more than choosing asks for: what is shown is to be told apart. */
const RECALL_LISTS = 16;

/** The texts of a model: the test windows, its own text of another kind or the built-in one, and lists of words. */
export function qualityTexts(
  model: Pick<OnGpu, 'runner' | 'tokenizer'>,
  windows: Pick<Windows, 'choosing' | 'test'> & { other?: TokenWindows | undefined },
): QualityTexts {
  const { spec, kv } = model.runner.parts;
  const [first = []] = windows.test;
  const begin = first[0] === spec.bosTokenId ? first.slice(0, 1) : [];
  const length = Math.max(2, Math.min(kv.context, first.length) - begin.length);
  const ids = model.tokenizer.encode(OTHER_TEXT).filter((id, i) => i > 0 || id !== spec.bosTokenId);
  const built = Array.from({ length: Math.ceil(ids.length / length) }, (_, i) => [
    ...begin,
    ...ids.slice(i * length, (i + 1) * length),
  ]);
  return {
    heldOut: windows.test,
    other: windows.other && windows.other.length > 0 ? windows.other : built,
    recall: recallListsOf(model, windows, RECALL_LISTS),
  };
}

/**
 * Measures a model.
 * @param answers of its parent; without them nothing is said of agreement
 * @throws ShishuError `aborted`
 */
export async function measureQuality(
  { runner, plan }: LoadedModel,
  answers: readonly Answer[],
  { heldOut, other, recall }: QualityTexts,
  {
    signal,
    onProgress,
  }: {
    signal?: AbortSignal | undefined;
    onProgress?: ((done: number, total: number) => void) | undefined;
  } = {},
): Promise<Quality> {
  const context = runner.parts.kv.context;
  const asked = answers.filter(({ prompt, ids }) => prompt.length + ids.length <= context);
  const total = heldOut.length + other.length + recall.length + asked.length;
  let done = 0;
  const scored = async (windows: TokenWindows): Promise<Scores[]> => {
    const scores: Scores[] = [];
    for (const window of windows) {
      throwIfAborted(signal);
      scores.push(await scoreOf(runner, plan, window, { signal }));
      onProgress?.(++done, total);
    }
    return scores;
  };
  const text = async (windows: TokenWindows): Promise<TextMeasure> =>
    textMeasure(windows, await scored(windows));
  const quality: Quality = { heldOut: await text(heldOut), other: await text(other) };
  if (recall.length > 0) quality.recall = recallOf(recall, await scored(recall.map(({ ids }) => ids)));
  if (asked.length > 0)
    quality.agreement = agreementOf(asked, await scored(asked.map(({ prompt, ids }) => [...prompt, ...ids])));
  return quality;
}

/** @param scores of each window, by row: row i tells of token i + 1 */
function textMeasure(windows: TokenWindows, scores: readonly Scores[]): TextMeasure {
  let [nats, tokens] = [0, 0];
  for (const [i, { length }] of windows.entries()) {
    // The last row scores a token behind the window.
    for (let row = 0; row < length - 1; row++) nats -= scores[i]!.logprobs[row]!;
    tokens += length - 1;
  }
  return { tokens, nats: nats / tokens, perplexity: Math.exp(nats / tokens) };
}

import { sampleTexts } from '../convert/sample-text.ts';
import type { EngineModel } from '../engine/model-interface.ts';
import type { Dtype } from '../engine/types.ts';
import { DTYPES } from '../quant/index.ts';
import type { ChatCorpus } from '../train/chat-corpus.ts';
import { textOf } from '../train/chat-format.ts';
import { usageError } from './args.ts';

/** Most tokens of a window. */
const WINDOW = 256;

type KeptDtype = Exclude<Dtype, 'auto'>;

/** How a dtype finds a text. */
export interface DtypeScore {
  dtype: KeptDtype;
  /** Mean negative log-likelihood of the predicted tokens, nats. */
  nll: number;
  perplexity: number;
  /** Perplexity over that of f32. */
  ratio: number;
}

export interface Comparison {
  /** Tokens that were predicted. */
  tokens: number;
  scores: DtypeScore[];
}

/** Where the text comes from: given, held-out chats of a corpus, or what the model says itself. */
export type ComparedText =
  | { kind: 'ids'; ids: number[] }
  | { kind: 'corpus'; corpus: ChatCorpus }
  | { kind: 'own' };

/** What is compared with f32. */
export const COMPARED: readonly string[] = DTYPES.filter((dtype) => dtype !== 'f32');

/** dtypes from a list with commas. */
export function dtypesOf(list: string): KeptDtype[] {
  const dtypes = list.split(',').map((name) => name.trim());
  for (const dtype of dtypes)
    if (!COMPARED.includes(dtype)) {
      const expected = `${COMPARED.slice(0, -1).join(', ')} and ${COMPARED.at(-1)}`;
      throw usageError(`--compare holds "${dtype}", expected ${expected} with commas between.`);
    }
  return dtypes as KeptDtype[];
}

/** Token ids of a text in windows that each begin at position 0, `tokens` in all. */
async function windowsOf(
  model: EngineModel,
  text: ComparedText,
  { tokens, seed, signal }: { tokens: number; seed: number; signal: AbortSignal },
): Promise<number[][]> {
  const { contextLength } = model.info;
  const length = Math.min(WINDOW, contextLength);
  if (text.kind === 'ids') {
    const count = Math.ceil(Math.min(text.ids.length, tokens) / length);
    return Array.from({ length: count }, (_, i) => text.ids.slice(i * length, (i + 1) * length));
  }
  const windows: number[][] = [];
  let sum = 0;
  const take = (ids: number[]): boolean => {
    windows.push(ids);
    sum += ids.length;
    return sum < tokens;
  };
  if (text.kind === 'corpus') {
    const { corpus } = text;
    const ids = async (i: number): Promise<number[]> =>
      (await model.encode(textOf(corpus.chatAt(seed, i, 'held-out').turns))).slice(0, length);
    for (let i = 0; take(await ids(i)); i++);
  } else {
    for await (const { ids } of sampleTexts(model, { length, seed, signal })) if (!take(ids)) break;
  }
  return windows;
}

/**
 * Perplexity of one text with the weights in f32 and in each dtype, one model on the GPU at a time.
 * @param open loads the model in a dtype
 * @throws ShishuError those of `loadModel`, and `bad-argument` when there is nothing to predict
 */
export async function compareDtypes(
  open: (dtype: KeptDtype) => Promise<EngineModel>,
  dtypes: readonly KeptDtype[],
  textOf: (model: EngineModel) => Promise<ComparedText>,
  options: { tokens: number; seed: number; signal: AbortSignal },
): Promise<Comparison> {
  const scores: DtypeScore[] = [];
  let windows: number[][] | undefined;
  let tokens = 0;
  for (const dtype of ['f32', ...dtypes] as const) {
    const model = await open(dtype);
    try {
      windows ??= (await windowsOf(model, await textOf(model), options)).filter(({ length }) => length > 1);
      tokens = windows.reduce((sum, { length }) => sum + length - 1, 0);
      if (tokens === 0) throw usageError('There is nothing to predict.', 'Give at least 2 tokens.');
      let nats = 0;
      for (const ids of windows) {
        const { nll } = await model.score(ids, { signal: options.signal });
        nats += nll * (ids.length - 1);
      }
      const nll = nats / tokens;
      const perplexity = Math.exp(nll);
      scores.push({ dtype, nll, perplexity, ratio: perplexity / (scores[0]?.perplexity ?? perplexity) });
    } finally {
      await model.dispose();
    }
  }
  return { tokens, scores };
}

/** A comparison as lines of a terminal. */
export const comparisonText = ({ tokens, scores }: Comparison): string =>
  [
    `${tokens} tokens`,
    ...scores.map(
      ({ dtype, nll, perplexity, ratio }) =>
        `${dtype}  nll ${nll.toFixed(6)}  perplexity ${perplexity.toFixed(4)}  of f32 ${ratio.toFixed(5)}`,
    ),
  ].join('\n');

import type { EngineModel } from '../engine/model-interface.ts';
import type { GenerateOptions } from '../engine/types.ts';
import { ShishuError, throwIfAborted } from '../errors.ts';
import type { Tokenizer } from '../formats/tokenizer.ts';

/** Empty texts in a row after which the model counts as one that generates nothing by itself. */
const MOST_EMPTY = 64;

const SAMPLING: GenerateOptions = {
  temperature: 1,
  topP: 1,
  topK: 0,
  minP: 0,
  repetitionPenalty: 1,
  ignoreEos: true,
};

/** What parts texts in the training of many models whose begin-of-text token is none, or opens a chat's turn. */
const BETWEEN_TEXTS = '<|endoftext|>';

/** A marker in a user's turn, to find what a chat template writes before and after it. */
const MARKER = 'QUESTION';

export interface SampleOptions {
  /** Most tokens of a text. */
  length: number;
  /** Of the model: where it has a chat template, every other text is a chat whose question the model asks itself. */
  tokenizer?: Tokenizer | undefined;
  /** Of the first text; the next ones have the numbers after it. */
  seed: number;
  /** Index of the first text. */
  first?: number;
  signal?: AbortSignal | undefined;
}

/**
 * Texts that a model generates by itself at temperature 1, as many at once as it was loaded for, without end: from its begin-of-text
 * token, and every other one an opened user turn, its own question and its answer. None is empty; each begins as the
 * model expects and has the token that ends it, unless it is as long as may be.
 * @throws ShishuError `unsupported` when the model ends its texts before they begin; `aborted`
 */
export async function* sampleTexts(
  model: EngineModel,
  { length, tokenizer, seed, first = 0, signal }: SampleOptions,
): AsyncGenerator<{ index: number; ids: number[] }, never> {
  const { spec, batch } = model.info;
  const between = tokenizer?.encode(BETWEEN_TEXTS, { addSpecialTokens: false }) ?? [];
  const bos = (between.length === 1 ? between[0] : undefined) ?? spec.bosTokenId ?? spec.eosTokenIds[0] ?? 0;
  const ends = new Set([...spec.eosTokenIds, ...(tokenizer?.enders ?? []), bos]);
  const opened = tokenizer?.hasChatTemplate ? openedTurn(tokenizer) : undefined;
  const done = new AbortController();
  const stop = signal ? AbortSignal.any([signal, done.signal]) : done.signal;

  /** What follows a prompt: nothing where it is as long as may be. */
  async function reply(prompt: readonly number[], seed: number, most: number): Promise<number[]> {
    const ids: number[] = [];
    const maxTokens = Math.min(most, length - prompt.length);
    if (maxTokens < 1) return ids;
    // One of its own: Node warns of many listeners to one signal.
    const options = { ...SAMPLING, maxTokens, seed, signal: AbortSignal.any([stop]) };
    for await (const { tokenId } of model.generate(Uint32Array.from(prompt), options)) {
      ids.push(tokenId);
      if (ends.has(tokenId)) break;
    }
    return ids;
  }
  const isEmpty = (ids: readonly number[]): boolean => ids.length === 0 || ends.has(ids[0]!);

  async function text(index: number): Promise<number[]> {
    const number = seed + index;
    if (opened && tokenizer && index % 2 === 1) {
      const asked = await reply(opened, number, Math.floor(length / 2));
      const question = tokenizer.decode(asked).trim();
      if (question === '') return [];
      const prompt = tokenizer.encodeChat([{ role: 'user', content: question }]);
      const answer = await reply(prompt, number, length);
      return isEmpty(answer) ? [] : [...prompt, ...answer];
    }
    const ids = await reply([bos], number, length);
    return isEmpty(ids) ? [] : [bos, ...ids];
  }

  const begun: Promise<number[]>[] = [];
  let empty = 0;
  try {
    for (let index = first; ; index++) {
      throwIfAborted(signal);
      while (begun.length < batch) begun.push(text(index + begun.length));
      const ids = await begun.shift()!;
      throwIfAborted(signal);
      empty = ids.length === 0 ? empty + 1 : 0;
      if (empty >= MOST_EMPTY)
        throw new ShishuError(
          'unsupported',
          `The model says nothing by itself: ${empty} texts in a row were empty.`,
          { details: { replies: empty }, mend: 'Give a text.' },
        );
      if (ids.length > 0) yield { index, ids };
    }
  } finally {
    done.abort();
    await Promise.allSettled(begun);
  }
}

/** A conversation up to where a user's words begin; undefined where the template does something else with them. */
function openedTurn(tokenizer: Tokenizer): number[] | undefined {
  let chat: string;
  try {
    const turn = { role: 'user', content: MARKER };
    chat = tokenizer.applyChatTemplate([turn], { addGenerationPrompt: false });
  } catch {
    // One that cannot be used here is reported when a conversation needs it.
    return undefined;
  }
  const at = chat.lastIndexOf(MARKER);
  return at < 0 ? undefined : tokenizer.encode(chat.slice(0, at), { addSpecialTokens: false });
}

// Conversations of models whose KV cache keeps the last positions alone.
import { expect } from 'vitest';
import type { EngineModel } from '../../src/engine/model-interface.ts';
import { resultOf } from './streams.ts';

/** The likeliest tokens after a prompt, and how many of it the cache had. */
export async function reply(model: EngineModel, prompt: readonly number[], maxTokens: number) {
  const { tokenIds, usage } = await resultOf(model.generate([...prompt], { maxTokens, ignoreEos: true }));
  return { tokens: tokenIds, cached: usage.cachedTokens };
}

/** The same with an empty cache. */
export async function anew(
  model: EngineModel,
  prompt: readonly number[],
  maxTokens: number,
): Promise<number[]> {
  await model.reset();
  return (await reply(model, prompt, maxTokens)).tokens;
}

/** Replies of several sequences to one prompt. */
export async function replies(model: EngineModel, prompt: readonly number[], n: number, maxTokens: number) {
  const made = await resultOf(model.generateBatch([...prompt], n, { maxTokens, ignoreEos: true }));
  return made.map(({ tokenIds }) => tokenIds);
}

/** A conversation goes on and goes back, and says what a model with an empty cache says: its first reply, and its texts. */
export async function goesOnAndBack(model: EngineModel, fresh: EngineModel, prompt: readonly number[]) {
  const { tokens } = await reply(model, prompt, 20);
  const longer = [...prompt, ...tokens, 7, 8, 9];
  expect(await reply(model, longer, 10)).toEqual({ tokens: await anew(fresh, longer, 10), cached: 43 });
  // Another message, after which more was written than a ring holds; then another last word of it.
  const edited = [...prompt, 11, 12];
  expect(await reply(model, edited, 1)).toEqual({ tokens: await anew(fresh, edited, 1), cached: 0 });
  const word = [...prompt, 11, 13];
  expect(await reply(model, word, 12)).toEqual({ tokens: await anew(fresh, word, 12), cached: 25 });
  return { tokens, longer, word };
}

// How replies are chosen with the profile of a GPU forced on this adapter: every option of sampling, constraints, several replies
// and scores, against the CPU's forward and its twin of the sampler.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadModel } from '../../src/engine/engine.ts';
import type { EngineModel } from '../../src/engine/model-interface.ts';
import type { GenerateOptions, GenerateResult } from '../../src/engine/types.ts';
import { referenceLogits } from '../reference/forward.ts';
import { logSoftmax } from '../reference/kernels.ts';
import { keep, penalize, type SamplingOptions } from '../reference/sampling.ts';
import { shapedModel, shapedSource } from '../support/gpu-shapes.ts';
import { resultOf } from '../support/streams.ts';
import { SLOW } from '../support/thorough.ts';
import { randomTokens } from '../support/tiny-models.ts';

const tiny = shapedModel('heads of 64');
const { spec, tensors } = tiny;
const prompt = randomTokens(spec, 12, 31);
const REPLIES = 4;

let model: EngineModel;
beforeAll(async () => {
  model = await loadModel(shapedSource(tiny), {
    profile: 'gpu',
    kv: 'f32',
    contextLength: 96,
    batch: REPLIES,
  });
}, SLOW);
afterAll(() => model.dispose());

async function replies(options: GenerateOptions, n = REPLIES, text = prompt): Promise<GenerateResult[]> {
  return resultOf(model.generateBatch(Uint32Array.from(text), n, options));
}

/** The cuts a little wider, so that a probability right at one may fall on either side. */
const loosened = ({ topP = 1, minP = 0, ...others }: SamplingOptions): SamplingOptions => ({
  ...others,
  topP: Math.min(1, 1.001 * topP),
  minP: 0.999 * minP,
});

const most = Object.fromEntries(Array.from({ length: 40 }, (_, id) => [id, 100]));

test.each<SamplingOptions>([
  { temperature: 1 },
  { temperature: 2, topK: 5 },
  { temperature: 1.5, topP: 0.5 },
  { temperature: 2, minP: 0.3 },
  { temperature: 1.5, topK: 30, topP: 0.8, minP: 0.05 },
  { temperature: 1, topK: 10, repetitionPenalty: 1.8 },
  { temperature: 1, topK: 10, frequencyPenalty: 1.5, presencePenalty: 2 },
  { temperature: 2, topK: 40, logitBias: most },
  { repetitionPenalty: 2 },
  { frequencyPenalty: 3 },
  { presencePenalty: 4 },
  { logitBias: { 900: 50, 901: 49.5 }, presencePenalty: 1 },
])('%j', async (options) => {
  const asked = { ...options, maxTokens: 6, seed: 40, ignoreEos: true };
  const made = await replies(asked);
  for (const { tokenIds } of made) {
    expect(tokenIds).toHaveLength(6);
    const logits = referenceLogits(spec, tensors, [...prompt, ...tokenIds.slice(0, -1)]);
    for (const [i, id] of tokenIds.entries()) {
      const at = (prompt.length - 1 + i) * spec.vocabSize;
      const own = penalize(logits.subarray(at, at + spec.vocabSize), prompt, tokenIds.slice(0, i), options);
      expect(keep(own, loosened(options)).ids, `token ${i}`).toContain(id);
    }
  }
  // Drawn ones go apart; the same seeds make the same replies.
  const texts = new Set(made.map(({ tokenIds }) => tokenIds.join()));
  expect(texts.size).toBe(options.temperature === undefined ? 1 : REPLIES);
  expect((await replies(asked)).map(({ tokenIds }) => tokenIds)).toEqual(
    made.map(({ tokenIds }) => tokenIds),
  );
});

test('log-probabilities are those of the reference', async () => {
  const told: { tokenId: number; logprob: number }[][] = [];
  const tokens: number[] = [];
  const options = { maxTokens: 4, temperature: 1, seed: 3, logprobs: true, topLogprobs: 20, ignoreEos: true };
  for await (const { tokenId, logprob } of model.generate(Uint32Array.from(prompt), options)) {
    told.push([{ tokenId, logprob: logprob!.logprob }, ...logprob!.top]);
    tokens.push(tokenId);
  }
  expect(told.map(({ length }) => length)).toEqual([21, 21, 21, 21]);
  const logits = referenceLogits(spec, tensors, [...prompt, ...tokens]);
  for (const [i, row] of told.entries()) {
    const at = (prompt.length - 1 + i) * spec.vocabSize;
    const expected = logSoftmax(logits.subarray(at, at + spec.vocabSize));
    const likeliest = [...expected.keys()].sort((a, b) => expected[b]! - expected[a]!).slice(0, 20);
    expect(row.slice(1).map(({ tokenId }) => tokenId)).toEqual(likeliest);
    for (const { tokenId, logprob } of row) expect(logprob).toBeCloseTo(expected[tokenId]!, 3);
  }
});

test('every reply keeps its own constraint', async () => {
  const made = await replies({ temperature: 3, seed: 2, constraint: { regex: '[a-c]{2,9}!' } });
  for (const { text, finishReason } of made) {
    expect(finishReason).toBe('stop');
    expect(text).toMatch(/^[a-c]{2,9}!$/);
  }
  const schema = { type: 'object', properties: { a: { enum: [1, 22] } }, required: ['a'] };
  const [json] = await replies({ temperature: 1, seed: 4, constraint: { jsonSchema: schema } }, 1);
  expect([1, 22]).toContain(JSON.parse(json!.text).a);
});

test('replies together are as each alone, and what follows finds their prompt in the cache', async () => {
  const greedy = { maxTokens: 8, ignoreEos: true };
  const [alone] = await replies(greedy, 1);
  const together = await replies(greedy);
  expect(together.map(({ tokenIds }) => tokenIds)).toEqual(Array(REPLIES).fill(alone!.tokenIds));
  expect(together[0]!.usage.cachedTokens).toBe(prompt.length - 1);
  const longer = [...prompt, ...alone!.tokenIds.slice(0, 3)];
  expect((await replies({ ...greedy, maxTokens: 5 }, 1, longer))[0]!.tokenIds).toEqual(
    alone!.tokenIds.slice(3),
  );
});

test('calls at once, each with its own sampling, are as each alone', async () => {
  const calls: GenerateOptions[] = [
    { maxTokens: 8 },
    { maxTokens: 5, temperature: 1, seed: 3, presencePenalty: 1 },
    { maxTokens: 12, temperature: 2, seed: 5, constraint: { regex: '[a-c]{2,9}!' } },
    { maxTokens: 9, logitBias: { 900: 50, 901: 49.5 }, logprobs: true, topLogprobs: 3 },
  ];
  const run = async (options: GenerateOptions, i: number): Promise<number[]> => {
    const ignoreEos = !options.constraint;
    const text = [...prompt.slice(i), ...randomTokens(spec, 3 + 40 * i, i)].slice(0, 80);
    return (await replies({ ignoreEos, ...options }, 1, text))[0]!.tokenIds;
  };
  const alone: number[][] = [];
  for (const [i, options] of calls.entries()) alone.push(await run(options, i));
  await model.reset();
  expect(await Promise.all(calls.map(run))).toEqual(alone);
});

test('scores are those of the reference', async () => {
  const tokens = randomTokens(spec, 75, 41);
  const { nll, logprobs, top1 } = await model.score(tokens);
  const logits = referenceLogits(spec, tensors, tokens);
  let sum = 0;
  for (let i = 0; i + 1 < tokens.length; i++) {
    const row = logits.subarray(i * spec.vocabSize, (i + 1) * spec.vocabSize);
    const expected = logSoftmax(row)[tokens[i + 1]!]!;
    expect(logprobs[i + 1]).toBeCloseTo(expected, 3);
    expect(top1[i]).toBe(row.indexOf(Math.max(...row)));
    sum -= expected;
  }
  expect(nll).toBeCloseTo(sum / (tokens.length - 1), 4);
});

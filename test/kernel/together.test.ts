// Calls at once on one model: each gets what it would get alone, and none waits for another while there is a slot.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadModel } from '../../src/engine/engine.ts';
import type { LocalModel } from '../../src/engine/model.ts';
import type { GenerateChunk, GenerateOptions, GenerateResult, LoadOptions } from '../../src/engine/types.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { memorySource } from '../support/memory-source.ts';
import { resultOf } from '../support/streams.ts';
import { randomTokens, tinyFiles, tinyModel } from '../support/tiny-models.ts';

const tiny = tinyModel('shishu', 7);
const source = memorySource({ ...tinyFiles(tiny), ...charTokenizerFiles(131) });
const text = (length: number, seed: number): Uint32Array =>
  Uint32Array.from(randomTokens(tiny.spec, length, seed));
const CHUNK = 8;
const load = (options: LoadOptions): Promise<LocalModel> =>
  loadModel(source, { contextLength: 96, ...options }, { chunk: CHUNK });

let alone: LocalModel;
let pair: LocalModel;
beforeAll(async () => {
  alone = await load({});
  pair = await load({ batch: 2 });
});
afterAll(async () => {
  await alone.dispose();
  await pair.dispose();
});

interface Call {
  prompt: Uint32Array;
  options: GenerateOptions;
}
type Made = GenerateResult & { chunks: GenerateChunk[] };

const A: Call = { prompt: text(5, 1), options: { maxTokens: 20, ignoreEos: true } };
const B: Call = { prompt: text(7, 2), options: { maxTokens: 20, ignoreEos: true } };

async function reply(
  model: LocalModel,
  { prompt, options }: Call,
  each: (count: number) => unknown = () => {},
): Promise<Made> {
  const chunks: GenerateChunk[] = [];
  const stream = model.generate(prompt, options);
  let next = await stream.next();
  for (; !next.done; next = await stream.next()) {
    chunks.push(next.value);
    await each(chunks.length);
  }
  return { ...next.value, chunks };
}

/** Runs calls at once; `order` says whose each chunk was. */
async function together(
  model: LocalModel,
  calls: readonly Call[],
): Promise<{ made: Made[]; order: number[] }> {
  const order: number[] = [];
  const made = await Promise.all(
    calls.map((call, index) => reply(model, call, () => void order.push(index))),
  );
  return { made, order };
}

/** Runs calls at once, and asserts that each is as alone. */
async function expectAsAlone(calls: readonly Call[]): Promise<{ made: Made[]; order: number[] }> {
  const expected: Made[] = [];
  for (const call of calls) {
    await alone.reset();
    expected.push(await reply(alone, call));
  }
  await pair.reset();
  const found = await together(pair, calls);
  for (const [i, { chunks, text, tokenIds, finishReason }] of found.made.entries()) {
    expect({ text, tokenIds, finishReason }).toEqual({
      text: expected[i]!.text,
      tokenIds: expected[i]!.tokenIds,
      finishReason: expected[i]!.finishReason,
    });
    for (const [j, { logprob }] of chunks.entries()) {
      const other = expected[i]!.chunks[j]!.logprob;
      expect(logprob === undefined).toBe(other === undefined);
      if (!logprob || !other) continue;
      expect(logprob.logprob).toBeCloseTo(other.logprob, 4);
      expect(logprob.top.map(({ tokenId }) => tokenId)).toEqual(other.top.map(({ tokenId }) => tokenId));
    }
  }
  return found;
}

test('greedy ones take turns, and each is as alone', async () => {
  const { order } = await expectAsAlone([A, B]);
  // The second begins within two steps of the first.
  expect(order.indexOf(1)).toBeLessThanOrEqual(2);
  const changes = order.filter((index, i) => i > 0 && index !== order[i - 1]).length;
  expect(changes).toBeGreaterThan(30);
});

describe('two ways of sampling in one step', () => {
  const ways: Record<string, GenerateOptions> = {
    greedy: {},
    drawn: { temperature: 1.5, seed: 4 },
    cut: { temperature: 2, seed: 9, topK: 20, topP: 0.9, minP: 0.01 },
    penalised: { repetitionPenalty: 1.4, frequencyPenalty: 0.7, presencePenalty: 0.3 },
    'drawn, penalised': { temperature: 1, seed: 3, frequencyPenalty: 2 },
    biased: { logitBias: { 7: 30, 9: -100, 11: 29 } },
    'log-probabilities': { logprobs: true, topLogprobs: 5 },
    'log-probability': { temperature: 1, seed: 8, logprobs: true },
  };
  const names = Object.keys(ways);
  test.each(names.map((name, i) => [name, names[(i + 3) % names.length]!]))('%s, %s', async (one, other) => {
    const { made } = await expectAsAlone([
      { ...A, options: { ...A.options, ...ways[one] } },
      { ...B, options: { ...B.options, ...ways[other] } },
    ]);
    for (const [i, name] of [one, other].entries())
      expect(made[i]!.chunks[0]!.logprob?.top.length).toBe(
        ways[name]!.logprobs ? (ways[name]!.topLogprobs ?? 0) : undefined,
      );
  });
});

test('one under a constraint, one free; the next in its slot is free again', async () => {
  const constraint = { regex: '[a-f]{9,14}!' };
  const constrained = { ...A, options: { temperature: 2, seed: 6, constraint } };
  const { made, order } = await expectAsAlone([constrained, B]);
  expect(made[0]!.text).toMatch(/^[a-f]{9,14}!$/);
  expect(order.slice(0, 12).filter((index) => index === 1).length).toBeGreaterThan(3);
  await expectAsAlone([
    { ...A, options: { ...A.options, logitBias: { 5: 40 } } },
    { ...B, options: { temperature: 1, seed: 2, constraint } },
  ]);
  await expectAsAlone([A, B]);
});

test('a long prompt runs in chunks beside one that decodes, which goes on', async () => {
  const long: Call = { prompt: text(60, 3), options: { maxTokens: 6, ignoreEos: true } };
  const { order } = await expectAsAlone([{ ...A, options: { ...A.options, maxTokens: 24 } }, long]);
  // Ten chunks of the prompt, each with a token of the other.
  expect(order.indexOf(1)).toBeGreaterThan(4);
  expect(order.indexOf(1)).toBeLessThan(14);
});

test('two long prompts share the room: neither waits for the whole of the other', async () => {
  const calls = [4, 5].map((seed) => ({
    prompt: text(40, seed),
    options: { maxTokens: 12, ignoreEos: true },
  }));
  const { order } = await expectAsAlone(calls);
  expect(order.indexOf(1) - order.indexOf(0)).toBeLessThanOrEqual(4);
});

test('an abort ends one of two', async () => {
  const abort = new AbortController();
  const [stopped, whole] = await Promise.all([
    reply(pair, { ...A, options: { ...A.options, signal: abort.signal } }, (count) => {
      if (count === 4) abort.abort();
    }),
    reply(pair, B),
  ]);
  expect(stopped.finishReason).toBe('aborted');
  expect(stopped.tokenIds.length).toBe(4);
  expect(whole.tokenIds).toEqual((await reply(alone, B)).tokenIds);
});

test('a call that is aborted frees its slots at once, though nobody reads it on', async () => {
  const abort = new AbortController();
  const options = { ...A.options, signal: abort.signal };
  const begun = pair.generateBatch(A.prompt, 2, options);
  await begun.next();
  abort.abort();
  expect((await reply(pair, B)).tokenIds).toEqual((await reply(alone, B)).tokenIds);
  expect((await resultOf(begun)).map(({ finishReason }) => finishReason)).toEqual(['aborted', 'aborted']);
});

test('a call that is aborted in the moment it begins frees its slots', async () => {
  for (let round = 0; round < 3; round++) {
    const abort = new AbortController();
    const begun = pair.generateBatch(A.prompt, 2, { ...A.options, signal: abort.signal });
    const first = begun.next();
    abort.abort();
    expect(await first).toMatchObject({ done: true, value: [{ finishReason: 'aborted' }, {}] });
  }
  await expectAsAlone([A, B]);
});

test('a third call waits for a slot, in its turn, or until it is aborted', async () => {
  const abort = new AbortController();
  const order: number[] = [];
  const calls = [
    { ...A, options: { ...A.options, maxTokens: 12 } },
    { ...B, options: { ...B.options, maxTokens: 6 } },
    { ...A, options: { ...A.options, signal: abort.signal } },
    B,
  ].map((call, index) => reply(pair, call, () => void order.push(index)));
  setTimeout(() => abort.abort());
  const [, , given, last] = await Promise.all(calls);
  expect(given).toMatchObject({ finishReason: 'aborted', tokenIds: [], text: '' });
  expect(last!.tokenIds).toEqual((await reply(alone, B)).tokenIds);
  // It began once the second had its six, while the first went on.
  expect(order.indexOf(3)).toBeGreaterThan(order.lastIndexOf(1));
  expect(order.indexOf(3)).toBeLessThan(order.lastIndexOf(0));
});

test('leaving a loop early frees its slot', async () => {
  for (let round = 0; round < 5; round++) {
    const streams = [A, B].map(({ prompt, options }) => pair.generate(prompt, options));
    for (const stream of streams) expect((await stream.next()).done).toBe(false);
    for (const stream of streams) await stream.return(undefined as never);
  }
  await expectAsAlone([A, B]);
});

test('who does not read pauses after a while, holds nobody up, and misses nothing', async () => {
  const slow = pair.generate(A.prompt, { ...A.options, maxTokens: 40 });
  const first = await slow.next();
  await pair.score([1, 2], { signal: AbortSignal.timeout(50) }).catch(() => {});
  const { tokenIds } = await reply(pair, { ...B, options: { ...B.options, maxTokens: 60 } });
  expect(tokenIds).toEqual((await reply(alone, { ...B, options: { ...B.options, maxTokens: 60 } })).tokenIds);
  const found = [(first.value as GenerateChunk).tokenId];
  for await (const { tokenId } of slow) found.push(tokenId);
  const whole = await reply(alone, { ...A, options: { ...A.options, maxTokens: 40 } });
  expect(found).toEqual(whole.tokenIds);
});

describe('modes', () => {
  const skip = { 1: 'skip' } as const;

  test('of each its own', async () => {
    await expectAsAlone([
      { ...A, options: { ...A.options, modes: skip } },
      { ...B, options: { ...B.options, modes: {} } },
    ]);
    await expectAsAlone([
      { ...A, options: { ...A.options, modes: skip } },
      { ...B, options: { ...B.options, modes: { ...skip } } },
    ]);
  });

  test('a change reaches replies without modes of their own, from the next token on', async () => {
    const run = async (model: LocalModel, call: Call, at: number): Promise<number[]> => {
      const made = await reply(model, call, async (count) => {
        if (count === at) await model.setModes(skip);
      });
      return made.tokenIds;
    };
    const own = { ...B, options: { ...B.options, modes: {} } };
    const expected = await run(alone, A, 6);
    await alone.setModes({});
    const kept = await reply(alone, own);
    await pair.reset();
    const [changed, unchanged] = await Promise.all([run(pair, A, 6), reply(pair, own)]);
    await pair.setModes({});
    expect(changed).toEqual(expected);
    expect(unchanged.tokenIds).toEqual(kept.tokenIds);
  });
});

test('KV is not freed of a plan that is being made ready', async () => {
  const expected = await reply(alone, A);
  for (let wait = 0; wait < 12; wait++) {
    await alone.setModes({ 1: 'skip' }, { releaseKv: true });
    const back = alone.setModes({});
    for (let i = 0; i < wait; i++) await Promise.resolve();
    await Promise.all([back, alone.releaseUnusedKv()]);
  }
  expect((await reply(alone, A)).tokenIds).toEqual(expected.tokenIds);
});

test('two conversations keep what is cached of each', async () => {
  await pair.reset();
  const first = await together(pair, [A, B]);
  const further = [A, B].map(({ prompt, options }, i) => ({
    prompt: Uint32Array.of(...prompt, ...first.made[i]!.tokenIds, 3, 4),
    options: { ...options, maxTokens: 4 },
  }));
  for (const calls of [further, [...further].reverse()]) {
    const { made } = await together(pair, calls);
    for (const [i, { usage, tokenIds }] of made.entries()) {
      expect(usage.cachedTokens).toBeGreaterThanOrEqual(calls[i]!.prompt.length - 3);
      await alone.reset();
      expect(tokenIds).toEqual((await reply(alone, calls[i]!)).tokenIds);
    }
  }
});

test('several replies of one call, beside another call', async () => {
  const three = await load({ batch: 3 });
  const options = { maxTokens: 12, temperature: 1, seed: 5, ignoreEos: true };
  const replies = async (): Promise<number[][]> => {
    return (await resultOf(three.generateBatch(A.prompt, 2, options))).map(({ tokenIds }) => tokenIds);
  };
  const expected = await replies();
  await three.reset();
  const [found, other] = await Promise.all([replies(), reply(three, B)]);
  expect(found).toEqual(expected);
  expect(other.tokenIds).toEqual((await reply(alone, B)).tokenIds);
  await three.dispose();
});

test('a score waits for replies, and replies for it', async () => {
  const tokens = [...A.prompt, 1, 2, 3];
  const expected = await alone.score(tokens);
  const [made, score, after] = await Promise.all([reply(pair, A), pair.score(tokens), reply(pair, B)]);
  expect(score.nll).toBeCloseTo(expected.nll, 5);
  expect(made.tokenIds).toEqual((await reply(alone, A)).tokenIds);
  expect(after.tokenIds).toEqual((await reply(alone, B)).tokenIds);
});

test('a model that is disposed ends all that is under way, and what waits', async () => {
  const model = await load({ batch: 2 });
  const calls = [A, B, A].map((call) =>
    reply(model, call, async (count) => {
      if (count === 3) await model.dispose();
    }),
  );
  for (const made of await Promise.allSettled([...calls, model.score([1, 2])]))
    expect(made).toMatchObject({ status: 'rejected', reason: { code: 'disposed' } });
});

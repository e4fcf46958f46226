// However many steps are in flight, replies are the same: ended by a stop string, constrained, aborted, and beside one another.
import { afterEach, expect, test, vi } from 'vitest';
import { loadModel, makeRunner } from '../../src/engine/engine.ts';
import { Pace } from '../../src/engine/pace.ts';
import { GREEDY } from '../../src/engine/sampler.ts';
import type { GenerateOptions } from '../../src/engine/types.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { fillFromCheckpoint } from '../../src/model/load.ts';
import { planOf, tensorsOf } from '../../src/model/spec.ts';
import { referenceGreedy } from '../reference/forward.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { memorySource } from '../support/memory-source.ts';
import { resultOf } from '../support/streams.ts';
import { randomTokens, tinyFiles, tinyModel } from '../support/tiny-models.ts';

const tiny = tinyModel('shishu', 7);
const source = memorySource({ ...tinyFiles(tiny), ...charTokenizerFiles(131) });

afterEach(() => void vi.restoreAllMocks());

const inFlight = (count: number): void =>
  void vi.spyOn(Pace.prototype, 'inFlight', 'get').mockReturnValue(count);

test('replies are the same at two, three and four steps in flight', async () => {
  const model = await loadModel(source, { contextLength: 96, batch: 2 }, { chunk: 8 });
  const long = Uint32Array.from(randomTokens(tiny.spec, 41, 3));
  const short = Uint32Array.from(randomTokens(tiny.spec, 5, 4));
  const drawn: GenerateOptions = { temperature: 1, topP: 0.9, seed: 3, repetitionPenalty: 1.2 };
  const calls: [Uint32Array, GenerateOptions][] = [
    [long, { maxTokens: 20, ignoreEos: true }],
    [short, { ...drawn, maxTokens: 23, ignoreEos: true, logprobs: true, topLogprobs: 2 }],
    [short, { ...drawn, maxTokens: 30, constraint: { regex: '[a-z]{3,9}' } }],
    // To the end of the context.
    [long, { ignoreEos: true }],
  ];
  const repliesAt = async (count: number) => {
    inFlight(count);
    await model.reset();
    const made = [];
    for (const [prompt, options] of calls) made.push(await resultOf(model.generate(prompt, options)));
    const { text } = made[0]!;
    const stop = text.slice(8, 11);
    const stopped = await resultOf(model.generate(long, { ...calls[0]![1], stop: [stop] }));
    expect(stopped.text).toBe(text.slice(0, text.indexOf(stop)));
    const abort = new AbortController();
    const aborted: number[] = [];
    for await (const { tokenId } of model.generate(long, { ...calls[0]![1], signal: abort.signal }))
      if (aborted.push(tokenId) === 6) abort.abort();
    const together = await Promise.all(
      calls.map(([prompt, options]) => resultOf(model.generate(prompt, options))),
    );
    expect(together.map(({ tokenIds }) => tokenIds)).toEqual(made.map(({ tokenIds }) => tokenIds));
    vi.restoreAllMocks();
    return [...made.map(({ tokenIds }) => tokenIds), stopped.tokenIds, aborted];
  };
  const expected = await repliesAt(2);
  expect(expected[3]).toHaveLength(96 - long.length);
  expect(expected[5]).toHaveLength(6);
  expect(await repliesAt(3)).toEqual(expected);
  expect(await repliesAt(4)).toEqual(expected);
  await model.dispose();
});

test('a chunk of a prompt is submitted before the one before it is read back, and an abort leaves nothing mapped', async () => {
  const gpu = await openTestGpu();
  const specs = tensorsOf(tiny.spec);
  const checkpoint = await openCheckpoint(source, specs);
  const sizes = { dtype: 'f32', kv: 'f32', contextLength: 64, batch: 1, chunk: 8 } as const;
  const runner = await makeRunner(gpu, tiny.spec, sizes, (fill) =>
    fillFromCheckpoint(gpu, fill, checkpoint, specs),
  );
  const plan = planOf(tiny.spec);
  const tokens = randomTokens(tiny.spec, 40, 5);
  const events: string[] = [];
  const run = runner.run.bind(runner);
  vi.spyOn(runner, 'run').mockImplementation(async (step) => {
    const { done } = await run(step);
    events.push('submitted');
    return { done: done.finally(() => events.push('read')) };
  });
  const { tokens: whole } = await runner.prefill(plan, 0, tokens, 0, GREEDY);
  expect(events.slice(0, 3)).toEqual(['submitted', 'submitted', 'read']);
  expect(events.filter((event) => event === 'read')).toHaveLength(5);
  const [greedy] = referenceGreedy(tiny.spec, tiny.tensors, tokens, 1);
  expect(whole[0]).toBe(greedy);
  events.length = 0;
  const abort = new AbortController();
  vi.mocked(runner.run).mockImplementation(async (step) => {
    if (events.push('submitted') === 2) abort.abort();
    const { done } = await run(step);
    return { done: done.finally(() => events.push('read')) };
  });
  await expect(runner.prefill(plan, 0, tokens, 0, GREEDY, abort.signal)).rejects.toMatchObject({
    code: 'aborted',
  });
  expect(events).toEqual(['submitted', 'submitted', 'read', 'read']);
  runner.ledger.releaseAll();
  gpu.close();
});

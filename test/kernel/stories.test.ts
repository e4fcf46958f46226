// A real trained model, where it is present beside the repository: stories260K.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadModel } from '../../src/engine/engine.ts';
import type { EngineModel } from '../../src/engine/model-interface.ts';
import { bytesAt } from '../support/fixture-bytes.ts';
import { memorySource } from '../support/memory-source.ts';
import { collect, resultOf } from '../support/streams.ts';

const texts = import.meta.glob<string>('../../../shared/models/stories260K/*.json', {
  query: '?raw',
  import: 'default',
});
const weights = import.meta.glob<string>('../../../shared/models/stories260K/*.safetensors', {
  query: '?inline',
  import: 'default',
});
const present = Object.keys(weights).length > 0;
if (!present) console.warn('skipped: ../shared/models/stories260K is not here');

const STORY =
  ', there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball. ' +
  'She wanted to play with it, but it was too high.';
const FIRST = [432, 383, 286, 261, 376, 298, 315, 421, 395, 317, 426, 338];

describe.skipIf(!present)('stories260K', () => {
  let model: EngineModel;
  const files: Record<string, string | Uint8Array> = {};
  beforeAll(async () => {
    const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
    for (const [path, load] of Object.entries(texts)) files[nameOf(path)] = await load();
    for (const [path, load] of Object.entries(weights)) files[nameOf(path)] = await bytesAt(await load());
    model = await loadModel(memorySource(files));
  });
  afterAll(() => model?.dispose());

  const reply = async (prompt: string, options: Parameters<EngineModel['generate']>[1]) => {
    const { items, value } = await collect(model.generate(prompt, options));
    return { streamed: items.map(({ text }) => text).join(''), ...value };
  };

  test('greedy tells the known story', async () => {
    const told = await reply('Once upon a time', { maxTokens: 100 });
    expect(told.tokenIds.slice(0, 12)).toEqual(FIRST);
    expect(told.text.startsWith(STORY)).toBe(true);
    expect(told.streamed).toBe(told.text);
    expect(told.finishReason).toBe('length');
    expect(told.usage).toMatchObject({ completionTokens: 100, cachedTokens: 0 });
  });

  test('the prefix of a conversation is not run again, and changes nothing', async () => {
    await model.reset();
    const fresh = await reply('Once upon a time, there was a', { maxTokens: 20 });
    await reply('Once upon a time, there was', { maxTokens: 8 });
    const again = await reply('Once upon a time, there was a', { maxTokens: 20 });
    expect(again.usage.cachedTokens).toBeGreaterThan(0);
    expect(again.tokenIds).toEqual(fresh.tokenIds);
  });

  test('a stop string across tokens ends the reply before it', async () => {
    const told = await reply('Once upon a time', { maxTokens: 60, stop: 'Lily' });
    expect(told.text).toBe(', there was a little girl named ');
    expect(told.finishReason).toBe('stop');
  });

  test('the seed makes a draw repeatable; another seed tells another story', async () => {
    const draw = (seed: number) =>
      reply('Once upon a time', { maxTokens: 40, temperature: 1, topP: 0.9, seed });
    const [one, same, other] = [await draw(1), await draw(1), await draw(2)];
    expect(same.text).toBe(one.text);
    expect(other.text).not.toBe(one.text);
  });

  test('the next seed does not draw the same a token later', async () => {
    // So hot that the logits hardly matter: the draws alone choose.
    const draw = (seed: number) =>
      reply('Once upon a time', { maxTokens: 40, temperature: 100, ignoreEos: true, seed });
    const [one, next] = [(await draw(8)).tokenIds, (await draw(9)).tokenIds];
    expect(next.slice(0, -1).filter((id, i) => id === one[i + 1]).length).toBeLessThan(5);
  });

  test('score agrees with the log-probabilities of a greedy reply', async () => {
    const options = { maxTokens: 10, logprobs: true, topLogprobs: 3 };
    const { items, value } = await collect(model.generate('Once upon a time', options));
    const said = items.map(({ tokenId, logprob }) => {
      expect(logprob!.top[0]!.tokenId).toBe(tokenId);
      return logprob!.logprob;
    });
    const { promptTokenIds, tokenIds } = value;
    const score = await model.score([...promptTokenIds, ...tokenIds]);
    said.forEach((logprob, i) => {
      expect(score.logprobs[promptTokenIds.length + i]).toBeCloseTo(logprob, 3);
    });
    expect([...score.top1.slice(promptTokenIds.length - 1, -1)]).toEqual(tokenIds);
  });

  test('an abort in mid-reply ends it, and the next reply is whole', async () => {
    const abort = new AbortController();
    const stream = model.generate('Once upon a time', { maxTokens: 60, signal: abort.signal });
    await stream.next();
    abort.abort();
    expect((await resultOf(stream)).finishReason).toBe('aborted');
    expect((await reply('Once upon a time', { maxTokens: 12 })).tokenIds).toEqual(FIRST);
  });

  test('q8 and q4 cost little of what the model says itself at temperature 1', async () => {
    const windows: number[][] = [];
    for (const seed of [1, 2, 3, 4]) {
      const { promptTokenIds, tokenIds } = await reply('Once upon a time', {
        ...{ maxTokens: 240, temperature: 1, ignoreEos: true, seed },
      });
      windows.push([...promptTokenIds, ...tokenIds]);
    }
    const nllOf = async (scored: EngineModel): Promise<number> => {
      let sum = 0;
      for (const ids of windows) sum += (await scored.score(ids)).nll / windows.length;
      return sum;
    };
    const wide = await nllOf(model);
    for (const [dtype, most] of [
      ['q8', 0.005],
      ['q4', 0.06],
    ] as const) {
      const rounded = await loadModel(memorySource(files), { dtype });
      const nll = await nllOf(rounded);
      await rounded.dispose();
      console.info(`stories260K ${dtype}: perplexity ${Math.exp(nll - wide).toFixed(5)} of f32's`);
      expect(nll - wide, dtype).toBeLessThan(most);
    }
  });
});

// Linear maps of the last few inputs: prompts in chunks, conversations, several at once, and what that takes.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadModel } from '../../src/engine/engine.ts';
import { estimate } from '../../src/engine/estimate.ts';
import type { LocalModel } from '../../src/engine/model.ts';
import type { LoadOptions } from '../../src/engine/types.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import type { Tuning } from '../../src/kernels/tuning.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { type ChildFixture, childFixture } from '../support/child-fixtures.ts';
import { anew, replies, reply } from '../support/conversations.ts';
import { difference } from '../support/family-fixtures.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { memorySource } from '../support/memory-source.ts';
import { forGpus, forSoftware } from '../support/tunings.ts';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

const CONTEXT = 64;
const CASES: { name: string; inputs: number; maps: number; chunk: number; tuning: Partial<Tuning> }[] = [
  { name: 'qwen3', inputs: 2, maps: 2, chunk: 5, tuning: forSoftware },
  { name: 'qwen3-rank', inputs: 4, maps: 1, chunk: 2, tuning: forGpus },
];

describe.each(CASES)('$inputs inputs, in chunks of $chunk', ({ name, inputs, maps, chunk, tuning }) => {
  let fixture: ChildFixture;
  let model: LocalModel;
  let fresh: LocalModel;
  const options = (): LoadOptions => ({
    device: gpu.device,
    contextLength: CONTEXT,
    dtype: 'f32',
    kv: 'f32',
  });
  const source = () => memorySource({ ...fixture.files, ...charTokenizerFiles() });
  const load = (more: LoadOptions = {}): Promise<LocalModel> =>
    loadModel(source(), { ...options(), ...more }, { tuning, chunk });
  beforeAll(async () => {
    fixture = await childFixture(name);
    model = await load();
    fresh = await load({ batch: 2, selfTest: false });
  });
  afterAll(async () => {
    await model.dispose();
    await fresh.dispose();
  });

  test('sums are those of transformers, past the ring too; its kernels pass the self-test', async () => {
    const { prompt, greedy, logits } = fixture;
    expect(model.info.selfTest.kernels).toBe('usual');
    expect(difference(await model.logits(prompt), logits)).toBeLessThan(1e-4);
    expect((await reply(model, prompt, greedy.length)).tokens).toEqual(greedy);
  });

  test('the ledger and the estimate have what is held: of a map no more than its ring', async () => {
    const attention = model.info.spec.blocks.flatMap(({ mixer }) =>
      mixer.kind === 'attention' ? [2 * CONTEXT * mixer.kvHeads * mixer.headDim * 4] : [],
    );
    // Rows of hidden states are padded to 64.
    const rings = maps * (inputs + chunk) * 4 * 64;
    expect(model.info.bytes.kv).toBe(rings + attention.reduce((sum, bytes) => sum + bytes, 0));
    expect((await estimate(source(), options(), { tuning, chunk })).bytes).toEqual(model.info.bytes);
  });

  test('conversations that go on, go back and break off', async () => {
    const { prompt } = fixture;
    await model.reset();
    const { tokens } = await reply(model, prompt, 20);
    const longer = [...prompt, ...tokens, 7, 8, 9];
    const next = await reply(model, longer, 5);
    expect(next.tokens).toEqual(await anew(fresh, longer, 5));
    expect(next.cached).toBe(longer.length - 4);
    // So far back that the ring has lost what comes before.
    const edited = [...prompt, 11, 12];
    expect(await reply(model, edited, 1)).toEqual({ tokens: await anew(fresh, edited, 1), cached: 0 });
    // One back: the ring still has it.
    const word = [...prompt, 11, 13];
    const again = await reply(model, word, 9);
    expect(again.tokens).toEqual(await anew(fresh, word, 9));
    expect(again.cached).toBe(word.length - 1);
    const stop = new AbortController();
    const broken = model.generate([...word], { maxTokens: 20, ignoreEos: true, signal: stop.signal });
    const begun = [...word];
    for (let i = 0; i < 5; i++) begun.push(((await broken.next()).value as { tokenId: number }).tokenId);
    stop.abort();
    expect((await broken.next()).value).toMatchObject({ finishReason: 'aborted' });
    expect((await reply(model, [...begun, 5], 9)).tokens).toEqual(await anew(fresh, [...begun, 5], 9));
  });

  test('two conversations at once, and replies of one prompt', async () => {
    const { prompt } = fixture;
    const other = [...prompt].reverse().slice(1);
    const [a, b] = [await anew(fresh, prompt, 12), await anew(fresh, other, 12)];
    await fresh.reset();
    const both = await Promise.all([reply(fresh, prompt, 12), reply(fresh, other, 12)]);
    expect(both.map(({ tokens }) => tokens)).toEqual([a, b]);
    const further = [...other, ...b, 4];
    const expected = (await reply(fresh, further, 6)).tokens;
    expect(expected).toEqual(await anew(fresh, further, 6));
    expect(await replies(fresh, further, 2, 6)).toEqual([expected, expected]);
  });
});

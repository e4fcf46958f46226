// LFM2, whose short convolutions keep their last positions alone: conversations, modes, and what that takes.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadModel } from '../../src/engine/engine.ts';
import { estimate } from '../../src/engine/estimate.ts';
import type { LocalModel } from '../../src/engine/model.ts';
import type { LoadOptions } from '../../src/engine/types.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import type { Tuning } from '../../src/kernels/tuning.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { anew, goesOnAndBack, replies, reply } from '../support/conversations.ts';
import { difference, type FamilyFixture, familyFixture } from '../support/family-fixtures.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { memorySource } from '../support/memory-source.ts';
import { forGpus, forSoftware } from '../support/tunings.ts';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

const CONTEXT = 96;
const CASES: { name: string; taps: number; layers: number[]; chunk: number; tuning: Partial<Tuning> }[] = [
  { name: 'lfm2', taps: 3, layers: [0, 2, 3], chunk: 5, tuning: forSoftware },
  { name: 'lfm2-bias', taps: 4, layers: [0, 2], chunk: 2, tuning: forGpus },
];

describe.each(CASES)('$name in chunks of $chunk', ({ name, taps, layers, chunk, tuning }) => {
  let fixture: FamilyFixture;
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
    fixture = await familyFixture(name);
    model = await load();
    fresh = await load({ batch: 2, selfTest: false });
  });
  afterAll(async () => {
    await model.dispose();
    await fresh.dispose();
  });

  test('sums are those of transformers, past the ring too; its kernels pass the self-test', async () => {
    expect(model.info.selfTest.kernels).toBe('usual');
    expect(model.info.plan.map(({ kind }) => kind)).toEqual(
      model.info.plan.map(({ layer }) => (layers.includes(layer) ? 'conv' : 'attention')),
    );
    expect(difference(await model.logits(fixture.prompt), fixture.logits)).toBeLessThan(1e-4);
    expect((await reply(model, fixture.prompt, 64)).tokens).toEqual(fixture.greedy);
  });

  test('the ledger and the estimate have what is held', async () => {
    const { kvHeads, headDim } = model.info.spec.blocks.flatMap(({ mixer }) =>
      mixer.kind === 'attention' ? [mixer] : [],
    )[0]!;
    // Rows of hidden states are padded to 64.
    const held = layers.length * (taps + chunk) * 4 * 64 + 2 * CONTEXT * kvHeads * headDim * 4;
    expect(model.info.bytes.kv).toBe(held);
    const foretold = await estimate(source(), options(), { tuning, chunk });
    expect(foretold.bytes).toEqual(model.info.bytes);
  });

  test('conversations that go on, go back and break off', async () => {
    const { prompt } = fixture;
    await model.reset();
    const { word } = await goesOnAndBack(model, fresh, prompt);
    // Steps that were under way have written what nobody reads.
    const stop = new AbortController();
    const broken = model.generate([...word], { maxTokens: 30, ignoreEos: true, signal: stop.signal });
    const begun = [...word];
    for (let i = 0; i < 5; i++) begun.push(((await broken.next()).value as { tokenId: number }).tokenId);
    stop.abort();
    expect((await broken.next()).value).toMatchObject({ finishReason: 'aborted' });
    expect((await reply(model, [...begun, 5], 12)).tokens).toEqual(await anew(fresh, [...begun, 5], 12));
  });

  test('two conversations at once, and replies of one prompt', async () => {
    const { prompt } = fixture;
    const other = [...prompt].reverse().slice(1);
    const [a, b] = [await anew(fresh, prompt, 20), await anew(fresh, other, 20)];
    await fresh.reset();
    const both = await Promise.all([reply(fresh, prompt, 20), reply(fresh, other, 20)]);
    expect(both.map(({ tokens }) => tokens)).toEqual([a, b]);
    const further = [...other, ...b, 4];
    const expected = (await reply(fresh, further, 9)).tokens;
    expect(expected).toEqual(await anew(fresh, further, 9));
    expect(await replies(fresh, further, 2, 9)).toEqual([expected, expected]);
  });

  test('attention can be left out amid a conversation, a convolution cannot', async () => {
    const { prompt, skipped } = fixture;
    await model.reset();
    await reply(model, prompt, 9);
    await model.setModes({ [skipped.layer]: 'skip' });
    const logits = await model.logits(prompt);
    expect(difference(logits.subarray(-skipped.logits.length), skipped.logits)).toBeLessThan(1e-4);
    await expect(model.setModes({ [layers[0]!]: 'skip' })).rejects.toMatchObject({
      code: 'bad-argument',
      details: { layer: String(layers[0]) },
    });
    await model.setModes({ level: 1 });
    expect((await reply(model, prompt, 20)).tokens).toEqual(fixture.greedy.slice(0, 20));
  });
});

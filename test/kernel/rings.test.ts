// Models with sliding windows, whose KV cache is a ring in the blocks that have one.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadModel } from '../../src/engine/engine.ts';
import { estimate } from '../../src/engine/estimate.ts';
import type { EngineModel } from '../../src/engine/model-interface.ts';
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

interface Case {
  name: string;
  /** Of each block. */
  windows: (number | undefined)[];
  chunk: number;
  kv: 'f32' | 'f16';
  tuning: Partial<Tuning>;
}

const CONTEXT = 96;

/** Rows fewer than the window and more. */
const CASES: Case[] = [
  { name: 'mistral-window', windows: [6, 6], chunk: 3, kv: 'f32', tuning: forSoftware },
  { name: 'gemma3', windows: [7, undefined, 7], chunk: 5, kv: 'f32', tuning: forGpus },
  { name: 'qwen3-window', windows: [undefined, 5], chunk: 17, kv: 'f16', tuning: forSoftware },
];

describe.each(CASES)('$name in chunks of $chunk', ({ name, windows, chunk, kv, tuning }) => {
  let fixture: FamilyFixture;
  beforeAll(async () => {
    fixture = await familyFixture(name);
  });

  const extra = { tuning, chunk };
  const source = () => memorySource({ ...fixture.files, ...charTokenizerFiles() });
  const load = (options: LoadOptions = {}): Promise<EngineModel> =>
    loadModel(
      source(),
      { device: gpu.device, contextLength: CONTEXT, dtype: 'f32', kv, selfTest: false, ...options },
      extra,
    );

  test('sums are those of transformers, past the ring too', async () => {
    const { prompt, logits, greedy } = fixture;
    const model = await load({ selfTest: true });
    expect(model.info.selfTest.kernels).toBe('usual');
    const found = await model.logits(prompt);
    expect(difference(found, logits)).toBeLessThan(kv === 'f32' ? 1e-4 : 5e-3);
    expect((await reply(model, prompt, greedy.length)).tokens).toEqual(greedy);
    await model.dispose();
  });

  test('the ledger and the estimate have what is held', async () => {
    const model = await load({ batch: 3 });
    const { kvHeads, headDim } = model.info.spec.blocks.flatMap(({ mixer }) =>
      mixer.kind === 'attention' ? [mixer] : [],
    )[0]!;
    const each = 2 * kvHeads * headDim * (kv === 'f32' ? 4 : 2);
    const positions = windows.map((window) => (window === undefined ? CONTEXT : window + chunk));
    const total = (held: readonly number[]): number => 3 * each * held.reduce((sum, count) => sum + count, 0);
    expect(model.info.bytes.kv).toBe(total(positions));
    expect(model.info.kvBytesPerToken).toBe(each * windows.length);
    const last = windows.length - 1;
    await model.setModes({ [last]: 'skip' }, { releaseKv: true });
    expect(model.info.bytes.kv).toBe(total(positions.slice(0, -1)));
    await reply(model, fixture.prompt, 9);
    await model.setModes({ [last]: 'attention' });
    expect(model.info.bytes.kv).toBe(total(positions));
    expect(await reply(model, fixture.prompt, 30)).toEqual({
      tokens: fixture.greedy.slice(0, 30),
      cached: 0,
    });
    await model.dispose();

    const foretold = await estimate(
      source(),
      { device: gpu.device, contextLength: CONTEXT, dtype: 'f32', kv, batch: 3 },
      extra,
    );
    expect(foretold.bytes.kv).toBe(total(positions));
  });

  test('conversations that go on, and those that go back', async () => {
    const { prompt } = fixture;
    const model = await load();
    const fresh = await load({ batch: 2 });
    const { tokens, longer } = await goesOnAndBack(model, fresh, prompt);

    // Two conversations at once, which one slot each had; replies of one prompt have copies of its rings.
    const other = [...prompt].reverse();
    const both = await Promise.all([reply(fresh, longer, 12), reply(fresh, other, 12)]);
    expect(both[0].tokens).toEqual(await anew(fresh, longer, 12));
    expect(both[1].tokens).toEqual(await anew(fresh, other, 12));
    expect(await replies(fresh, prompt, 2, 20)).toEqual([tokens, tokens]);
    await model.dispose();
    await fresh.dispose();
  });
});

// The model of speed: work that is counted by hand, times that are computed by hand, and the page that is made of both.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { speedDoc } from '../../scripts/speed-doc.ts';
import { GPUS, type GpuFigures, gpuNamed, gpuOf, peakTeraflops } from '../../src/bench/gpus.ts';
import { expectedOf, expectedOfAll, reached } from '../../src/bench/speed.ts';
import { threadsOf, type Work, weightBytesOf, workOf } from '../../src/bench/work.ts';
import { specOf } from '../../src/families/index.ts';
import type { Dispatch, StepShape } from '../../src/gpu/recorder.ts';
import { adapterOf } from '../support/paper-gpu.ts';
import { launchesOf, PaperModel, type PaperStep } from '../support/paper-model.ts';

const SPEC = specOf({
  model_type: 'llama',
  hidden_size: 128,
  intermediate_size: 256,
  num_hidden_layers: 1,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 512,
  rms_norm_eps: 1e-5,
  max_position_embeddings: 1024,
  hidden_act: 'silu',
  tie_word_embeddings: true,
});
const model = new PaperModel(adapterOf('gpu', true, { min: 32, max: 32 }), SPEC, {
  dtype: 'f32',
  kv: 'f16',
  context: 1024,
});
const worksOf = (step: PaperStep): Map<string, Work> =>
  new Map(
    launchesOf(step).flatMap((launch) => {
      const work = workOf(launch, step.step);
      return work ? [[launch.label, work] as const] : [];
    }),
  );

describe('work', () => {
  test('of projections: weights, what is read and written, and multiply-adds', async () => {
    const works = worksOf(await model.decode(99));
    // Weights (256, 128), x and its gain (128), q (128) with a note of 8 bytes, k and v (64 each) in f16, cos and sin (32), the row.
    const qkv = 4 * (256 * 128 + 128 + 128 + 128 + 2) + 2 * 2 * 64 + 4 * 32 + 16 + 16;
    expect(works.get('qkv')).toMatchObject({ multiplyAdds: 256 * 128 });
    expect(works.get('qkv')!.bytes / qkv).toBeCloseTo(1, 1);
    expect(works.get('gate and up')!.multiplyAdds).toBe(512 * 128);
    expect(works.get('down')).toMatchObject({ multiplyAdds: 128 * 256 });
    // Added to the hidden states: they are read and written.
    expect(works.get('down')!.bytes / (4 * (128 * 256 + 256 + 2 * 128) + 16)).toBeCloseTo(1, 1);
    expect(works.get('logits')!.multiplyAdds).toBe(512 * 128);
    // One row of the table.
    expect(works.get('embed')!.bytes).toBe(4 * (128 + 128) + 16 + 16);
  });

  test('of attention: what a token sees, and what the tokens of a prompt see together', async () => {
    const token = worksOf(await model.decode(99)).get('attention')!;
    expect(token.multiplyAdds).toBe(2 * 4 * 32 * 100);
    const kv = 2 * (2 * 2 * 32 * 100);
    expect(token.bytes).toBeGreaterThan(kv);
    expect(token.bytes).toBeLessThan(kv + 4096);
    const prompt = worksOf((await model.prompt(64))[0]!).get('attention')!;
    expect(prompt.multiplyAdds).toBe(2 * 4 * 32 * ((64 * 65) / 2));
    const later = worksOf((await model.prompt(512))[1]!).get('attention')!;
    expect(later.multiplyAdds).toBe(2 * 4 * 32 * ((512 * 513) / 2 - (256 * 257) / 2));
  });

  test('grows with rows, and of a batch each row sees its own sequence', async () => {
    const batch = new PaperModel(adapterOf('gpu', true, { min: 32, max: 32 }), SPEC, {
      dtype: 'f32',
      kv: 'f16',
      context: 1024,
      batch: 4,
    });
    const [one, four] = [await model.decode(99), await batch.decode(99, 4)].map(worksOf);
    for (const label of ['attention', 'down', 'logits'])
      expect(four!.get(label)!.multiplyAdds).toBe(4 * one!.get(label)!.multiplyAdds);
    // Weights are read once.
    expect(four!.get('down')!.bytes).toBeLessThan(1.2 * one!.get('down')!.bytes);
    expect(four!.get('attention')!.bytes).toBeGreaterThan(3.5 * one!.get('attention')!.bytes);
  });

  test.each(['f16', 'q8', 'q4'] as const)(
    'a step of 16 sequences reads each %s weight once, as that of one does',
    async (dtype) => {
      const read = async (batch: number): Promise<number> => {
        const adapter = adapterOf('gpu', true, { min: 32, max: 32 });
        const step = await new PaperModel(adapter, SPEC, { dtype, kv: 'f16', context: 64, batch }).decode(
          9,
          batch,
        );
        return weightBytesOf([...step.blocks, ...step.head], step.step);
      };
      const one = await read(1);
      // Four matrices of the block, and the head.
      expect(one).toBeGreaterThan(0.5 * (256 * 128 + 128 * 128 + 512 * 128 + 128 * 256 + 512 * 128));
      for (const batch of [2, 5, 8, 16]) expect([batch, await read(batch)]).toEqual([batch, one]);
    },
  );

  test('a window bounds what is seen', async () => {
    const windowed = {
      ...SPEC,
      blocks: SPEC.blocks.map((block) => ({ ...block, mixer: { ...block.mixer, window: 16 } })),
    };
    const narrow = new PaperModel(adapterOf('gpu', true, { min: 32, max: 32 }), windowed as typeof SPEC, {
      dtype: 'f32',
      kv: 'f16',
      context: 1024,
    });
    expect(worksOf(await narrow.decode(99)).get('attention')!.multiplyAdds).toBe(2 * 4 * 32 * 16);
  });

  test('threads of every kernel that is launched are known; what a step leaves out has no work', async () => {
    const { step, ...lists } = await model.decode(10);
    for (const launch of launchesOf({ step, ...lists }))
      expect([launch.label, threadsOf(launch.shader) % 16]).toEqual([launch.label, 0]);
    const nothing = { ...lists.blocks[0]!, grid: () => undefined } as Dispatch;
    expect(workOf(nothing, {} as StepShape)).toBeUndefined();
  });
});

/** 100 lanes that begin 10^11 multiply-adds a second; 100 GB/s. */
const GPU: GpuFigures = {
  name: 'made up',
  kind: 'desktop',
  gigabytesPerSecond: 100,
  units: 10,
  lanes: 10,
  gigahertz: 1,
  doubleF16: false,
  launchMicroseconds: 5,
  subgroupSize: { min: 32, max: 32 },
  words: /made up/,
};
const WORK: Work = { row: 'none', bytes: 8e6, multiplyAdds: 0, workgroups: 1000, threads: 64 };

describe('expected times', () => {
  const counts = { instructions: 2, bytesInFlight: 64 };

  test('bound by memory: 8 MB at 80 GB/s', () => {
    expect(expectedOf(WORK, GPU, counts)).toEqual({ launch: 5, memory: 100, arithmetic: 0, total: 105 });
  });

  test('bound by loads under way: 64 threads of 6 bytes each 0.6 us are 0.64 GB/s', () => {
    const { memory } = expectedOf({ ...WORK, workgroups: 1 }, GPU, { instructions: 2, bytesInFlight: 6 });
    expect(memory).toBeCloseTo(8e6 / 640);
  });

  test('bound by arithmetic: two instructions for each of 35 million, at 70 % of 10^11; at half the threads twice as long', () => {
    const work = { ...WORK, multiplyAdds: 35e6 };
    expect(expectedOf(work, GPU, counts).arithmetic).toBeCloseTo(1000);
    expect(expectedOf(work, GPU, counts).total).toBeCloseTo(1005);
    // 400 threads keep 100 lanes busy.
    expect(expectedOf({ ...work, workgroups: 1, threads: 200 }, GPU, counts).arithmetic).toBeCloseTo(2000);
  });

  test('of several: what bounds each is added up', () => {
    const all = expectedOfAll([WORK, { ...WORK, bytes: 0, multiplyAdds: 35e6 }], GPU);
    expect(all.launch).toBe(10);
    expect(all.total).toBeCloseTo(all.launch + all.memory + all.arithmetic);
    expect(all.memory).toBeGreaterThan(0);
    expect(all.arithmetic).toBeGreaterThan(0);
  });

  test('what was reached: GB/s always, shares where the GPU is known', () => {
    expect(reached(WORK, 160, undefined)).toEqual({ gigabytesPerSecond: 50 });
    expect(reached({ ...WORK, multiplyAdds: 4e6 }, 160, GPU)).toEqual({
      gigabytesPerSecond: 50,
      bandwidth: 0.5,
      arithmetic: 0.25,
    });
  });
});

describe('GPUs', () => {
  test.each([
    ['nvidia lovelace  nvidia geforce rtx 4090', 'NVIDIA RTX 4090'],
    ['nvidia lovelace  nvidia geforce rtx 4090 laptop gpu', undefined],
    ['amd rdna-3  amd radeon rx 7900 xtx (radv navi31)', 'AMD RX 7900 XTX'],
    ['amd rdna-3  amd radeon 780m graphics (radv gfx1103_r1)', 'AMD Radeon 780M'],
    ['intel gen-12lp  intel(r) iris(r) xe graphics (tgl gt2)', 'Intel Iris Xe, 96 EU'],
    ['intel xe-2lpg  intel(r) arc(tm) 140v gpu (16gb)', 'Intel Arc 140V'],
    ['intel gen-12hp  intel(r) arc(tm) a770 graphics (dg2)', 'Intel Arc A770'],
    ['apple metal-3 apple m2 ', 'Apple M2, 10 cores'],
    ['apple metal-3 apple m2 pro ', undefined],
    ['qualcomm adreno-7xx  adreno (tm) 740', 'Qualcomm Adreno 740'],
    // What browsers tell unasked: a family, which several GPUs have.
    ['nvidia ampere  ', undefined],
    ['google swiftshader  swiftshader device', undefined],
  ])('"%s" is %s', (words, name) => {
    expect(gpuOf(words)?.name).toBe(name);
  });

  test('have the peaks that are published of them', () => {
    const peak = (name: string) => peakTeraflops(gpuNamed(name)!);
    expect(peak('NVIDIA RTX 4090')).toBeCloseTo(82.6, 1);
    expect(peak('NVIDIA RTX 3060')).toBeCloseTo(12.7, 0);
    expect(peak('Apple M2, 10 cores')).toBeCloseTo(3.6, 1);
    expect(peak('Intel Arc A770')).toBeCloseTo(17.2, 1);
    expect(GPUS).toHaveLength(10);
  });
});

test('docs/speed.md is what scripts/make-speed-doc.mjs writes', async () => {
  expect(readFileSync(new URL('../../docs/speed.md', import.meta.url), 'utf8')).toBe(await speedDoc());
});

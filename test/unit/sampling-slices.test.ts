// What follows the head on GPUs: how many launches, of how many workgroups.
import { expect, test } from 'vitest';
import type { Launch, ShaderSpec } from '../../src/gpu/kernel.ts';
import { askedOf } from '../../src/gpu/kernel.ts';
import type { PipelineCache } from '../../src/gpu/pipeline.ts';
import { Recorder } from '../../src/gpu/recorder.ts';
import { keyOf } from '../../src/kernels/draw.ts';
import { score, topLogprobs } from '../../src/kernels/logprobs.ts';
import { argmax } from '../../src/kernels/sample.ts';
import { adjust, sample } from '../../src/kernels/sampling.ts';
import { defaultTuning } from '../../src/kernels/tuning.ts';
import { adapterOf, paperGpu } from '../support/paper-gpu.ts';

const any = {} as GPUBuffer;

/** The launches that are recorded on an adapter, and the workgroups of each for two rows. */
function launches(
  profile: 'gpu' | 'software',
  record: (recorder: Recorder, tuning: ReturnType<typeof defaultTuning>) => void,
): [name: string, workgroups: number, shader: ShaderSpec][] {
  const asked: ShaderSpec[] = [];
  const pipelines = {
    get(spec: ShaderSpec) {
      asked.push(spec);
      return new Promise(() => {});
    },
  } as unknown as PipelineCache;
  const gpu = { ...paperGpu(adapterOf(profile, false)), pipelines };
  record(new Recorder(gpu), defaultTuning(gpu));
  const step = { rows: 2, first: 0, count: 2, next: 0, context: 1 };
  return asked.map((shader) => {
    const launch: Launch = { ...askedOf(shader), step, items: 0 };
    const [x, y, z] = shader.kernel.grid(launch, 65_535)!;
    return [shader.kernel.name, x * y * z, shader];
  });
}

const call = (cols: number) => ({
  logits: { buffer: any, cols },
  next: any,
  sampled: any,
  samplers: any,
  step: any,
  between: () => any,
});

const adjusted = (cols: number) => ({ adjusted: { buffer: any, cols }, counts: any, bias: any, mask: any });

test.each([
  [260, 1],
  [49_152, 48],
  [151_936, 149],
  [262_144, 256],
  // Gemma 3's larger ones: slices of twice the tokens.
  [262_208, 129],
])('%i tokens are %i slices, and at most three launches follow the head', (vocab, slices) => {
  const [one, all] = [2, 2 * slices];
  const named = (of: ReturnType<typeof launches>) => of.map(([name, workgroups]) => [name, workgroups]);
  const greedy = [
    ['slices', all],
    ['argmax_slices', one],
  ];
  const drawn = [
    ['slices', all],
    ['candidates', all],
    ['draw', one],
  ];
  for (const isAdjusted of [false, true]) {
    const record = (choose: typeof argmax | typeof sample) =>
      launches('gpu', (recorder, tuning) => {
        if (isAdjusted) adjust(tuning, recorder, { ...call(vocab), ...adjusted(vocab) });
        choose(tuning, recorder, { ...call(vocab), adjusted: isAdjusted });
      });
    expect(named(record(argmax))).toEqual(greedy);
    expect(named(record(sample))).toEqual(drawn);
  }
  const told = launches('gpu', (recorder, tuning) => {
    topLogprobs(tuning, recorder, { ...call(vocab), top: 20, out: any });
    score(tuning, recorder, { ...call(vocab), targets: any, scores: any });
  });
  expect(named(told)).toEqual([
    ['top_slices', all],
    ['top_merge', one],
    ['slices', all],
    ['score_slices', one],
  ]);
});

test('software adapters, and vocabularies that no model has, keep a workgroup a row', () => {
  const record = (recorder: Recorder, tuning: ReturnType<typeof defaultTuning>, vocab: number) => {
    adjust(tuning, recorder, { ...call(vocab), ...adjusted(vocab) });
    argmax(tuning, recorder, { ...call(vocab), adjusted: true });
    sample(tuning, recorder, call(vocab));
  };
  const names = ['adjust', 'argmax', 'sample'];
  for (const [profile, vocab] of [
    ['software', 151_936],
    ['gpu', 600_000],
  ] as const)
    expect(
      launches(profile, (recorder, tuning) => record(recorder, tuning, vocab)).map(([name]) => name),
    ).toEqual(names);
});

test('keys of floats have their order', () => {
  const values = [-3.4e38, -2, -1.5, -1e-30, 0, 1e-30, 1, 2.5, 3.4e38];
  const keys = values.map(keyOf);
  expect([...keys].sort((a, b) => a - b)).toEqual(keys);
});

// Every shader permutation that a model of any family asks for compiles without a word from the compiler.
import { afterAll, expect, test } from 'vitest';
import { Ledger } from '../../../src/gpu/buffer.ts';
import type { Gpu } from '../../../src/gpu/device.ts';
import type { Pipeline, PipelineCache } from '../../../src/gpu/pipeline.ts';
import { Recorder } from '../../../src/gpu/recorder.ts';
import { type ShaderSpec, shaderText } from '../../../src/gpu/shader.ts';
import { addMoments } from '../../../src/kernels/moments.ts';
import { argmax } from '../../../src/kernels/sample.ts';
import { adjust, sample, score, topLogprobs } from '../../../src/kernels/sampling.ts';
import type { WeightDtype } from '../../../src/kernels/tensor.ts';
import { defaultTuning, type Tuning } from '../../../src/kernels/tuning.ts';
import { allocateScratch, recordBlocks, recordHead } from '../../../src/model/forward.ts';
import { KvCache } from '../../../src/model/kvcache.ts';
import { planOf } from '../../../src/model/plan.ts';
import { allocateWeights } from '../../../src/model/weights.ts';
import { covers, openTestGpu, variantOf } from '../../support/gpu-features.ts';
import { TINY_MODEL_NAMES, type TinyModelName, tinyModel } from '../../support/tiny-models.ts';

const gpu = await openTestGpu();
const plainGpu = await variantOf(gpu, { without: ['f16', 'subgroups'] });
covers(gpu, 'f16', 'compiling shaders with shader-f16');
covers(gpu, 'subgroups', 'compiling shaders with subgroups');
afterAll(() => gpu.close());

const forGpus: Tuning = {
  ...defaultTuning(plainGpu),
  matvec: { workgroup: 64, lanes: 32 },
  wide: 'tiled',
  attention: 'cooperative',
  wideAttention: 'tiled',
};
const forSoftware: Tuning = {
  ...defaultTuning(plainGpu),
  matvec: { workgroup: 16, lanes: 1 },
  wide: 'matvec',
  attention: 'direct',
  wideAttention: 'direct',
};

/** The same GPU, noting which shaders are asked for instead of compiling them. */
function listening(on: Gpu): { on: Gpu; asked: ShaderSpec[] } {
  const asked: ShaderSpec[] = [];
  const pipelines = {
    get(spec: ShaderSpec): Promise<Pipeline> {
      asked.push(spec);
      return new Promise(() => {});
    },
  } as unknown as PipelineCache;
  return { on: { ...on, pipelines }, asked };
}

/** The shaders of a model: blocks and head at every width, every way of choosing a token, and calibration's sums. */
function shadersOf(
  real: Gpu,
  tuning: Tuning,
  name: TinyModelName,
  dtype: WeightDtype,
  kvDtype: 'f32' | 'f16',
): ShaderSpec[] {
  const { on, asked } = listening(real);
  const ledger = new Ledger(real);
  const { config } = tinyModel(name, 1);
  const plan = planOf(config);
  const size = { rows: 8, decodeRows: 8, logitRows: 8, context: 300 };
  const scratch = allocateScratch(ledger, tuning, config, size);
  const { weights } = allocateWeights(real, ledger, config, plan, dtype);
  const kv = new KvCache(ledger, config, plan, { dtype: kvDtype, sequences: 2, context: size.context });
  const any = scratch.parts;
  const parts = { gpu: on, tuning, config, weights, kv, scratch };
  for (const width of ['one', 'few', 'many'] as const) {
    void recordBlocks(parts, plan, any, width);
    void recordHead(parts, width);
  }
  const recorder = new Recorder(on);
  const { logits, step } = scratch;
  const choice = { logits, next: any, sampled: any, samplers: any, step };
  argmax(tuning, recorder, choice);
  sample(tuning, recorder, choice);
  score(tuning, recorder, { logits, targets: any, scores: any, step });
  for (const bias of [undefined, any])
    for (const mask of [undefined, any])
      adjust(tuning, recorder, { ...choice, adjusted: logits, counts: any, bias, mask });
  for (const top of [0, 5]) topLogprobs(tuning, recorder, { logits, top, sampled: any, out: any, step });
  const to = { G: any, C: any, vectors: any, odd: any };
  addMoments(recorder, { d: config.hiddenSize, z: any, before: any, after: any, rows: any, to, step });
  ledger.releaseAll();
  return asked;
}

/** What the compiler says of each distinct text: `file:line: message`. */
async function messagesOf(specs: readonly ShaderSpec[]): Promise<{ texts: number; said: string[] }> {
  const all = specs.map(shaderText);
  const texts = new Map(all.map((text, i) => [text.code, { ...text, name: specs[i]!.name }]));
  const said = await Promise.all(
    [...texts].map(async ([code, { origins, name }]) => {
      const { messages } = await gpu.device.createShaderModule({ code }).getCompilationInfo();
      return messages.map(
        ({ type, lineNum, message }) => `${origins[lineNum - 1] ?? name}: ${type}: ${message}`,
      );
    }),
  );
  return { texts: texts.size, said: said.flat() };
}

test.each(TINY_MODEL_NAMES)('%s', async (name) => {
  const { texts, said } = await messagesOf([
    ...shadersOf(plainGpu, forGpus, name, 'f32', 'f32'),
    ...shadersOf(plainGpu, forSoftware, name, 'f32', 'f16'),
  ]);
  expect(said).toEqual([]);
  expect(texts).toBeGreaterThan(25);
});

test.each(['f16', 'q8', 'q4'] as const)('weights in %s', async (dtype) => {
  const specs = [gpu, plainGpu].flatMap((on) => [
    ...shadersOf(on, forGpus, 'qwen2', dtype, 'f16'),
    ...shadersOf(on, forSoftware, 'qwen3', dtype, 'f32'),
  ]);
  expect((await messagesOf(specs)).said).toEqual([]);
});

test('sums by subgroups where the lanes fit them', async () => {
  const specs = shadersOf(gpu, forGpus, 'qwen3', 'f32', 'f32');
  const reduces = new Set(specs.map(({ imports }) => imports?.REDUCE));
  expect(reduces.has('reduce_subgroup')).toBe(gpu.features.subgroups);
  expect((await messagesOf(specs)).said).toEqual([]);
});

test('a word of the compiler would be seen', async () => {
  const good = shadersOf(plainGpu, forSoftware, 'llama', 'f32', 'f32')[0]!;
  const { WG: _, ...constants } = good.constants;
  gpu.device.pushErrorScope('validation');
  const { said } = await messagesOf([{ ...good, constants }]);
  await gpu.device.popErrorScope();
  expect(said.join('\n')).toMatch(/embed\.wgsl:\d+: error: .*WG/);
});

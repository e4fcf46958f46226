// Every kernel says what may be asked of it; all that options can ask for is in the list, and nothing else can be made.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { specOf } from '../../src/families/index.ts';
import type { ShaderSpec } from '../../src/gpu/kernel.ts';
import { askedOf, checkDeclared, type Kernel, permutations } from '../../src/gpu/kernel.ts';
import type { PipelineCache } from '../../src/gpu/pipeline.ts';
import { Recorder } from '../../src/gpu/recorder.ts';
import { shaderText } from '../../src/gpu/shader.ts';
import { KERNELS } from '../../src/kernels/all.ts';
import { ATTENTION_DECODE } from '../../src/kernels/attention-decode.ts';
import { ARGMAX } from '../../src/kernels/sample.ts';
import { defaultTuning, type Tuning, VARIANTS } from '../../src/kernels/tuning.ts';
import { DTYPES } from '../../src/quant/index.ts';
import { TRAIN_KERNELS } from '../../src/train/kernels/all.ts';
import { shadersOf } from '../support/asked-shaders.ts';
import { adapterOf, paperGpu } from '../support/paper-gpu.ts';
import { TINY_MODEL_NAMES, tinyModel } from '../support/tiny-models.ts';

const root = join(import.meta.dirname, '../..');

test('each shader is of one kernel, and each kernel of src/kernels is in the list', () => {
  const files = readdirSync(join(root, 'shaders'), { recursive: true, encoding: 'utf8' })
    .map((file) => file.replaceAll('\\', '/'))
    .filter((file) => file.endsWith('.wgsl') && !/^(shared|train)\//.test(file));
  const named = KERNELS.map(({ folder, name }) => `${folder ? `${folder}/` : ''}${name}.wgsl`);
  expect(named.sort()).toEqual(files.sort());
  // Tables, messages and choices know kernels by their names alone.
  expect(new Set(KERNELS.map(({ name }) => name)).size).toBe(KERNELS.length);
  const modules = import.meta.glob<Record<string, unknown>>('../../src/kernels/*.ts', { eager: true });
  const exported = Object.values(modules)
    .flatMap((module) => Object.values(module))
    .filter((value): value is Kernel => typeof value === 'object' && value !== null && 'choices' in value);
  expect(new Set(exported)).toEqual(new Set(KERNELS));
});

test('each shader of training is of one kernel, and each kernel of src/train/kernels is in the list', () => {
  const files = readdirSync(join(root, 'shaders/train')).filter((file) => file.endsWith('.wgsl'));
  expect(TRAIN_KERNELS.map(({ name }) => `${name.slice('train/'.length)}.wgsl`).sort()).toEqual(files.sort());
  const modules = import.meta.glob<Record<string, unknown>>('../../src/train/kernels/*.ts', { eager: true });
  const exported = Object.values(modules)
    .flatMap((module) => Object.values(module))
    .filter((value): value is Kernel => typeof value === 'object' && value !== null && 'choices' in value);
  expect(new Set(exported)).toEqual(new Set(TRAIN_KERNELS));
});

test('pipelines are made in one place, which checks what is asked for', () => {
  const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ts'),
  );
  const makers = sources.filter((file) =>
    /createComputePipeline|createShaderModule/.test(readFileSync(join(root, 'src', file), 'utf8')),
  );
  expect(makers.map((file) => file.replaceAll('\\', '/'))).toEqual(['gpu/pipeline.ts']);
});

test('what is not declared is refused by name', () => {
  const good: ShaderSpec = { kernel: ARGMAX, constants: { WG: 16, VOCAB: 260, STRIDE4: 80 } };
  checkDeclared(good);
  const refused: [unknown, RegExp][] = [
    [{ ...good, kernel: undefined }, /without its declaration/],
    [{ ...good, constants: { ...good.constants, WG: 128 } }, /argmax is not made with WG 128/],
    [{ ...good, constants: { VOCAB: 260, STRIDE4: 80 } }, /WG undefined/],
    [{ ...good, constants: { ...good.constants, VOCAB: 0 } }, /VOCAB 0: it is from 1/],
    [{ ...good, constants: { ...good.constants, VOCAB: Number.NaN } }, /VOCAB NaN/],
    [{ ...good, constants: { ...good.constants, VOCAB: true } }, /VOCAB true/],
    [{ ...good, constants: { ...good.constants, LANES: 4 } }, /with LANES/],
    [{ ...good, imports: { WEIGHT: 'weight_f32' } }, /with WEIGHT/],
    [
      {
        kernel: ATTENTION_DECODE,
        imports: { KV_READ: 'kv_read_q8' },
        constants: { WG: 64 },
      },
      /KV_READ kv_read_q8/,
    ],
  ];
  for (const [spec, message] of refused)
    expect(() => checkDeclared(spec as ShaderSpec)).toThrow(
      expect.objectContaining({ code: 'shader', message: expect.stringMatching(message) }),
    );
});

test('what is bound is what the kernel declares', async () => {
  const pipelines = {
    get: async (spec: ShaderSpec) => ({ bindings: spec.kernel.bindings(askedOf(spec)) }),
  } as unknown as PipelineCache;
  const gpu = { ...paperGpu(adapterOf('gpu', false)), pipelines };
  const [logits, next_rows, sampled, step] = Array.from({ length: 4 }, () => ({}) as GPUBuffer);
  const shader: ShaderSpec = { kernel: ARGMAX, constants: { WG: 16, VOCAB: 260, STRIDE4: 80 } };
  const bound = (bind: Record<string, GPUBuffer | undefined>): Promise<unknown> => {
    const recorder = new Recorder(gpu);
    recorder.add({ label: 'argmax', shader, bind: { logits, next_rows, sampled, step, ...bind } });
    return recorder.finish();
  };
  await expect(bound({ sampled: undefined })).rejects.toThrow('Nothing is bound to "sampled" of argmax.wgsl');
  await expect(bound({ scales: logits })).rejects.toThrow('"scales" is bound, and no binding of argmax.wgsl');
});

test('bindings are numbered by their order, before the text', () => {
  const { code } = shaderText({ kernel: ARGMAX, constants: { WG: 16, VOCAB: 260, STRIDE4: 80 } });
  expect(code.match(/@group.*/g)).toEqual([
    '@group(0) @binding(0) var<storage, read> logits: array<vec4f>;',
    '@group(0) @binding(1) var<storage, read_write> next_rows: array<Row>;',
    '@group(0) @binding(2) var<storage, read_write> sampled: array<u32>;',
    '@group(0) @binding(3) var<uniform> step: Step;',
  ]);
});

test('all that models and options ask for is declared', () => {
  const gpus = [
    paperGpu(adapterOf('software', false)),
    paperGpu(adapterOf('software', true, { min: 4, max: 8 })),
    paperGpu(adapterOf('gpu', false, { min: 8, max: 64 })),
    paperGpu(adapterOf('gpu', true, { min: 32, max: 32 })),
  ];
  const ways = [0, 1] as const;
  const choices = VARIANTS.matvec.flatMap((matvec) =>
    ways.map((i) => ({
      matvec,
      attention: VARIANTS.attention[i],
      wide: VARIANTS.wide[i],
      wideAttention: VARIANTS.wideAttention[i],
    })),
  );
  const asked = new Set<string>();
  // Of what sizes alone tell apart, one.
  const note = ({ kernel, imports, constants }: ShaderSpec): void => {
    const entries = Object.entries({ ...imports, ...constants }).filter(([key]) => !(key in kernel.sizes));
    asked.add(`${kernel.name} ${JSON.stringify(entries.sort())}`);
  };
  for (const gpu of gpus)
    for (const choice of choices) {
      const tuning: Tuning = { ...defaultTuning(gpu), ...choice };
      for (const dtype of DTYPES)
        for (const name of TINY_MODEL_NAMES)
          for (const kv of ['f32', 'f16'] as const)
            for (const spec of shadersOf(gpu, tuning, name, dtype, kv, { withAdapters: true })) note(spec);
    }
  // Convolutions have no choices.
  for (const conv_bias of [false, true]) {
    const { rms_norm_eps: _, ...json } = tinyModel('llama', 1).configJson as Record<string, unknown>;
    const lfm2 = specOf({ ...json, model_type: 'lfm2', full_attn_idxs: [1], conv_bias });
    for (const spec of shadersOf(gpus[0]!, defaultTuning(gpus[0]!), lfm2, 'f32', 'f32')) note(spec);
  }
  expect([...asked].filter((one) => one.startsWith('conv '))).toHaveLength(6);
  const declared = KERNELS.flatMap((kernel) => permutations(kernel));
  console.info(`${asked.size} permutations asked for, ${declared.length} declared.`);
  expect(asked.size).toBeGreaterThan(1000);
  expect(asked.size).toBeLessThanOrEqual(declared.length);
});

// Every text of a shader that models make, by the adapter that they run on.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { allocateParts } from '../../src/engine/size.ts';
import { Ledger } from '../../src/gpu/buffer.ts';
import { Recorder } from '../../src/gpu/recorder.ts';
import { type ShaderSpec, type ShaderText, shaderText } from '../../src/gpu/shader.ts';
import { addMoments } from '../../src/kernels/moments.ts';
import { argmax } from '../../src/kernels/sample.ts';
import { adjust, sample, score, topLogprobs } from '../../src/kernels/sampling.ts';
import { synthesise } from '../../src/kernels/synthesise.ts';
import type { WeightDtype } from '../../src/kernels/tensor.ts';
import { defaultTuning, PLAIN_TUNING, type Tuning, VARIANTS, type Width } from '../../src/kernels/tuning.ts';
import type { ModelConfig } from '../../src/model/config.ts';
import { recordBlocks, recordHead, recordLinear } from '../../src/model/forward.ts';
import { planOf } from '../../src/model/plan.ts';
import { type Adapter, paperGpu } from './paper.ts';
import { SHAPES } from './shapes.ts';

const DTYPES: readonly WeightDtype[] = ['f32', 'f16', 'q8', 'q4'];
const WIDTHS: readonly Width[] = ['one', 'few', 'many'];
/** Long enough for attention to split a sequence. */
const CONTEXT = 512;
/** How many log-probabilities are asked for: a constant of a shader. */
const TOPS = [0, 5, 20];

interface Run {
  adapter: Adapter;
  config: ModelConfig;
  dtype: WeightDtype;
  kv: 'f32' | 'f16';
  batch: number;
  tuning: Tuning;
}

/** Records all that a model does: forward at each width, head, choices, scores, and what conversion and the benchmark add. */
async function recordModel(run: Run, noted: (spec: ShaderSpec) => void): Promise<void> {
  const { adapter, config, tuning } = run;
  const gpu = paperGpu(adapter, noted);
  const ledger = new Ledger(gpu);
  const plan = planOf(config);
  const { parts, fill } = allocateParts(gpu, ledger, config, plan, { ...run, contextLength: CONTEXT });
  const { scratch } = parts;
  const buffer = ledger.storage('paper', 16, 'scratch');
  // One block of each kind says what all say.
  const blocks = [...new Map(plan.map((block) => [block.kind, block])).values()];
  for (const width of WIDTHS) {
    await recordBlocks(parts, blocks, buffer, width);
    await recordHead(parts, width);
  }
  const recorder = new Recorder(gpu);
  const call = { logits: scratch.logits, next: buffer, sampled: buffer, step: scratch.step };
  argmax(tuning, recorder, call);
  score(tuning, recorder, { logits: scratch.logits, targets: buffer, scores: buffer, step: scratch.step });
  const samplers = buffer;
  sample(tuning, recorder, { ...call, samplers });
  for (const bias of [undefined, buffer])
    for (const mask of [undefined, buffer])
      adjust(tuning, recorder, {
        ...call,
        samplers,
        adjusted: scratch.logits,
        counts: buffer,
        bias,
        mask,
      });
  for (const top of TOPS) topLogprobs(tuning, recorder, { ...call, top, out: buffer });
  const z = { z: buffer, before: buffer, after: buffer, rows: buffer, step: scratch.step };
  addMoments(recorder, {
    ...z,
    d: config.hiddenSize,
    to: { G: buffer, C: buffer, vectors: buffer, odd: buffer },
  });
  for (const { kind, layer } of blocks)
    if (kind === 'linear') recordLinear(parts, recorder, layer, { buffer, cols: config.hiddenSize }, 'many');
  for (const { weight } of fill.matrices)
    for (const part of weight.parts)
      synthesise(gpu, recorder, { weight, part, seed: 0, uniform: () => buffer });
  await recorder.finish();
}

/** Each variant of the kernels that is tried on a GPU, on top of the default. */
const variants = (base: Tuning): Tuning[] =>
  (Object.keys(VARIANTS) as (keyof typeof VARIANTS)[]).flatMap((key) =>
    VARIANTS[key].map((value) => ({ ...base, [key]: value })),
  );

/** What is run on an adapter: all models in a few dtypes, and all dtypes and variants on the first model. */
function runs(adapter: Adapter): Run[] {
  const without = (...names: (keyof Adapter['features'])[]): Adapter => ({
    ...adapter,
    features: { ...adapter.features, ...Object.fromEntries(names.map((name) => [name, false])) },
  });
  const base = defaultTuning(paperGpu(adapter));
  const [config, ...others] = SHAPES as [ModelConfig, ...ModelConfig[]];
  const usual = { adapter, config, kv: 'f16', batch: 1, tuning: base } as const;
  return [
    ...others.flatMap((other): Run[] => [
      { ...usual, config: other, dtype: 'f16' },
      { ...usual, config: other, dtype: 'f16', kv: 'f32' },
    ]),
    { ...usual, dtype: 'f16', batch: 4 },
    { ...usual, dtype: 'f32', kv: 'f32' },
    ...DTYPES.flatMap((dtype): Run[] => [
      ...variants(base).map((tuning) => ({ ...usual, dtype, tuning })),
      // Firefox has no subgroups yet.
      { ...usual, dtype, adapter: without('subgroups') },
      // What a device whose own f16 or subgroups compute wrongly runs on.
      { ...usual, dtype, adapter: without('subgroups', 'f16'), tuning: PLAIN_TUNING },
    ]),
  ];
}

export interface NamedShader extends ShaderText {
  /** The kernel and what makes this permutation, but for the sizes of the model: the same for all models. */
  name: string;
}

/** Every text once, with its name. */
export async function shaderTexts(adapters: readonly Adapter[]): Promise<NamedShader[]> {
  const specs = new Map<string, ShaderSpec>();
  for (const run of adapters.flatMap(runs))
    await recordModel(run, (spec) => specs.set(JSON.stringify(spec), spec));
  const texts = new Map<string, NamedShader>();
  for (const spec of specs.values()) {
    const text = shaderText(spec);
    texts.set(text.code, { ...text, name: nameOf(spec) });
  }
  return [...texts.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Constants that are a kernel's shape, not a model's. */
const SHAPING = ['HEAD_DIM', 'WG', 'LANES', 'TOKENS', 'ROWS', 'TOP', 'BITS'];

export function nameOf({ name, imports = {}, constants }: ShaderSpec): string {
  const flags = Object.entries(constants).filter(([, value]) => value === true);
  const shape = SHAPING.filter((key) => key in constants).map((key) => `${key}=${constants[key]}`);
  return [name, ...Object.values(imports), ...flags.map(([key]) => key), ...shape].join(' ');
}

/** Writes each text as a file `0.wgsl` and so on. @returns the files, in the order of the texts */
export async function writeTexts(texts: readonly string[], folder: string): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  const files = texts.map((_, i) => join(folder, `${i}.wgsl`));
  await Promise.all(texts.map((text, i) => writeFile(files[i]!, text)));
  return files;
}

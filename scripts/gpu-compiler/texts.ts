// The texts of shaders that models make, by the adapter that they run on.
import { kernelRow } from '../../src/bench/work.ts';
import type { ShaderSpec } from '../../src/gpu/kernel.ts';
import { type ShaderText, shaderText } from '../../src/gpu/shader.ts';
import { defaultTuning, PLAIN_TUNING, type Tuning, VARIANTS } from '../../src/kernels/tuning.ts';
import type { ModelSpec } from '../../src/model/spec.ts';
import { DTYPES, FORMATS, VALUE_FORMATS, type WeightDtype } from '../../src/quant/index.ts';
import { shadersOf } from '../../test/support/asked-shaders.ts';
import { type Adapter, paperGpu } from '../../test/support/paper-gpu.ts';
import { allLaunches, type ModelLaunches } from './launches.ts';
import { SHAPES } from './shapes.ts';
import { trainingShaders } from './training.ts';

interface Run {
  adapter: Adapter;
  spec: ModelSpec;
  dtype: WeightDtype;
  kv: 'f32' | 'f16';
  tuning: Tuning;
}

/** Each variant of the kernels that is tried on a GPU, on top of the default. */
const variants = (base: Tuning): Tuning[] =>
  (Object.keys(VARIANTS) as (keyof typeof VARIANTS)[]).flatMap((key) =>
    VARIANTS[key].map((value) => ({ ...base, [key]: value })),
  );

/** Formats of blocks that only files have. */
const OF_FILES = (Object.keys(FORMATS) as WeightDtype[]).filter((dtype) => !(dtype in VALUE_FORMATS));

/** What is run on an adapter: all models in a few dtypes, and all dtypes and variants on the first model. */
function runs(adapter: Adapter): Run[] {
  const without = (...names: (keyof Adapter['features'])[]): Adapter => ({
    ...adapter,
    features: { ...adapter.features, ...Object.fromEntries(names.map((name) => [name, false])) },
  });
  const base = defaultTuning(paperGpu(adapter));
  const [spec, ...others] = SHAPES as [ModelSpec, ...ModelSpec[]];
  const usual = { adapter, spec, kv: 'f16', tuning: base } as const;
  return [
    ...others.flatMap((other): Run[] => [
      { ...usual, spec: other, dtype: 'f16' },
      { ...usual, spec: other, dtype: 'f16', kv: 'f32' },
    ]),
    { ...usual, dtype: 'f32', kv: 'f32' },
    ...DTYPES.flatMap((dtype): Run[] => [
      ...variants(base).map((tuning) => ({ ...usual, dtype, tuning })),
      // Firefox has no subgroups yet.
      { ...usual, dtype, adapter: without('subgroups') },
      // What a device whose own f16 or subgroups compute wrongly runs on.
      { ...usual, dtype, adapter: without('subgroups', 'f16'), tuning: PLAIN_TUNING },
    ]),
    ...OF_FILES.flatMap((dtype): Run[] => [
      { ...usual, dtype },
      { ...usual, dtype, adapter: without('subgroups') },
    ]),
  ];
}

export interface NamedShader extends ShaderText {
  /** The kernel and what makes this permutation, but for the sizes of the model: the same for all models. */
  name: string;
  /** Its row where a table has few. */
  group: string;
}

/** Every text once, with its name: of `runs`, of what models launch, and of training. */
export function shaderTexts(adapter: Adapter, launches: readonly ModelLaunches[]): NamedShader[] {
  const specs = [
    ...runs(adapter).flatMap((run) =>
      shadersOf(paperGpu(run.adapter), run.tuning, run.spec, run.dtype, run.kv),
    ),
    ...launches.flatMap(allLaunches).map(({ shader }) => shader),
    ...trainingShaders(adapter),
  ];
  const texts = new Map<string, NamedShader>();
  for (const spec of specs) {
    const text = shaderText(spec);
    texts.set(text.code, { ...text, name: nameOf(spec), group: kernelRow(spec) });
  }
  return [...texts.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Constants that are a kernel's shape, not a model's. */
const SHAPING = [
  'HEAD_DIM',
  'TALL',
  'WIDE',
  'DEPTH',
  'ACROSS',
  'WG',
  'LANES',
  'TOKENS',
  'ROWS',
  'TOP',
  'BITS',
];

export function nameOf({ kernel, imports = {}, constants }: ShaderSpec): string {
  const flags = Object.entries(constants).filter(([, value]) => value === true);
  const shape = SHAPING.filter((key) => key in constants).map((key) => `${key}=${constants[key]}`);
  return [kernel.name, ...Object.values(imports), ...flags.map(([key]) => key), ...shape].join(' ');
}

// What models launch, and what those launches compile: recorded on paper for each GPU.

import type { Dispatch } from '../../src/gpu/recorder.ts';
import type { ModelSpec } from '../../src/model/spec.ts';
import { DTYPES, type WeightDtype } from '../../src/quant/index.ts';
import type { Adapter } from '../../test/support/paper-gpu.ts';
import { launchesOf, PaperModel, type PaperStep, SAMPLED } from '../../test/support/paper-model.ts';
import { HEADS, REAL } from './shapes.ts';

/** Steps of a model that gates look at. */
export interface ModelLaunches {
  /** Its name; undefined for one that only heads are looked at of. */
  model: string | undefined;
  dtype: WeightDtype;
  /** A token at position 1,000. */
  decode: PaperStep;
  /** The first 128 tokens. */
  prompt: PaperStep;
  /** 2 to 16 sequences. */
  rows: PaperStep[];
  /** Ways to choose a token. */
  greedy: PaperStep;
  sampled: PaperStep;
}

const CONTEXT = 2048;
const FEW = [2, 3, 4, 5, 8, 9, 16];

async function recorded(
  adapter: Adapter,
  model: string | undefined,
  spec: ModelSpec,
  { dtype, kv }: { dtype: WeightDtype; kv: 'f32' | 'f16' },
): Promise<ModelLaunches> {
  const make = (batch: number) => new PaperModel(adapter, spec, { dtype, kv, context: CONTEXT, batch });
  const one = make(1);
  const sixteen = make(16);
  return {
    model,
    dtype,
    decode: await one.decode(1000),
    prompt: (await one.prompt(128))[0]!,
    rows: await Promise.all(FEW.map((rows) => sixteen.decode(1000, rows))),
    greedy: await one.decode(0),
    sampled: await one.decode(0, 1, SAMPLED),
  };
}

/** The published models in each dtype that can be asked for, and heads of other sizes. */
export const modelLaunches = (adapter: Adapter): Promise<ModelLaunches[]> =>
  Promise.all([
    ...[...REAL].flatMap(([name, spec]) => [
      ...DTYPES.map((dtype) => recorded(adapter, name, spec, { dtype, kv: 'f16' })),
      recorded(adapter, name, spec, { dtype: 'f32', kv: 'f32' }),
    ]),
    ...HEADS.map((spec) => recorded(adapter, undefined, spec, { dtype: 'f16', kv: 'f16' })),
  ]);

/** Every launch of them. */
export const allLaunches = ({ decode, prompt, rows, greedy, sampled }: ModelLaunches): Dispatch[] =>
  [decode, prompt, ...rows, greedy, sampled].flatMap(launchesOf);

// What a conversion will take, said before it begins: memory, disk, and work, which is time once the device's speed is known.

import { modelBytes } from '../../src/convert/child.ts';
import { childConfig, pairsOf } from '../../src/convert/child-config.ts';
import type { ConvertStage } from '../../src/convert/events.ts';
import { checkHealable, type HealPlan, planHealing } from '../../src/convert/heal-plan.ts';
import { bytesOf, type OnGpu, refuseChild } from '../../src/convert/on-gpu.ts';
import { targetOf } from '../../src/convert/target.ts';
import { mixtureOf, SHARES, tokensNeeded } from '../../src/convert/windows.ts';
import { checkpointFor, storedDtype } from '../../src/engine/engine.ts';
import { specOf, specsOf } from '../../src/families/index.ts';
import { readEntries } from '../../src/formats/checkpoint.ts';
import { readJson } from '../../src/formats/json.ts';
import type { Source } from '../../src/formats/source.ts';
import { type ModelSpec, parameterCount } from '../../src/model/spec.ts';
import type { ChildChoice, TextChoice } from './request.ts';

/** Multiply-adds of each stage that there will be; `text` is what the parent samples. */
export type Work = Partial<Record<ConvertStage | 'text', number>>;

export interface Forecast {
  blocks: number;
  parameters: number;
  dtype: OnGpu['dtype'];
  /** Attention blocks that go; undefined where perplexity decides. */
  lost: number | undefined;
  /** Tokens that maps of this parent need. */
  tokensNeeded: number;
  plan: HealPlan | undefined;
  /** Most GPU memory at a time, in bytes. */
  gpuBytes: number;
  /** Room in the browser's storage: the parent as stored, the child, and a checkpoint of healing. */
  diskBytes: { parent: number; child: number; checkpoint: number };
  work: Work;
}

/** Context for which K and V count as memory to save, as the conversion has it. */
const MEMORY_CONTEXT = 2048;
/** Blocks measured before each choice, and tokens of the words to recall, about. */
const AMONG = 6;
const RECALL_TOKENS = 800;
/** Work of a trained token over that of a forward pass: the parent's, the child's with what is computed anew, and its backward. */
const TRAINED = 5;
/** Held-out tokens that are measured along a healing's curve, about. */
const MEASURED = 20 * 2048;
/** Texts are sampled a token at a time, which takes a GPU longer than its work says. */
const SAMPLED = 10;

/**
 * Reads a parent's config and headers, and counts what the conversion takes.
 * @throws ShishuError as `convert` for a parent or a target that cannot be, `does-not-fit` where no healing fits the memory
 */
export async function forecast(
  source: Source,
  child: ChildChoice,
  text: TextChoice,
  signal: AbortSignal,
): Promise<Forecast> {
  const configJson = await readJson(source, 'config.json', { code: 'bad-config' }, signal);
  const entries = await readEntries(source, signal);
  const { spec, checkpoint } = checkpointFor(source, entries, specsOf(configJson));
  refuseChild({ source, spec });
  if (child.heal) checkHealable(spec);
  const dtype = storedDtype(checkpoint, spec);
  const { sharePairs = 0, linear = false, rank, inputs, heal } = child;
  const specWithout = (count: number): ModelSpec => {
    if (count === 0) return spec;
    const layers = Array.from({ length: count }, (_, layer) => layer);
    const pairs = pairsOf(layers).slice(0, sharePairs);
    return specOf(childConfig(configJson, spec, { layers, pairs, linear, rank, inputs }));
  };
  const context = Math.min(MEMORY_CONTEXT, spec.maxPositions);
  const bytesAt = (count: number): number => modelBytes(specWithout(count), bytesOf(dtype), context);
  const blocks = spec.blocks.length;
  const target = targetOf(child, blocks, bytesAt);
  const lost = target.layers?.length ?? target.count;
  const of = specWithout(lost ?? Math.ceil(blocks / 2));
  const window = new Array<number>(Math.min(text.window, spec.maxPositions) + 1).fill(0);
  const windows = { healing: mixtureOf([window]), choosing: [] };
  const plan = heal && planHealing(spec, of, windows, heal);
  const parameters = parameterCount(spec);
  const childBytes = bytesOf(dtype) * parameterCount(of);
  const onGpu = (dtype === 'F16' ? 2 : 4) * parameters;
  return {
    blocks,
    parameters,
    dtype,
    lost,
    tokensNeeded: tokensNeeded(spec.hiddenSize),
    plan,
    gpuBytes: onGpu + Math.max(plan?.bytes ?? 0, 4 * parameterCount(of)),
    diskBytes: {
      parent: checkpoint.storedBytes,
      child: childBytes,
      // Weights and two moments, in f32; a new one is whole before the old one goes.
      checkpoint: plan ? 2 * 12 * parameterCount(of) : 0,
    },
    work: workOf({ parameters, blocks, lost, named: target.layers !== undefined }, child, text, plan),
  };
}

function workOf(
  {
    parameters,
    blocks,
    lost = Math.ceil(blocks / 2),
    named,
  }: { parameters: number; blocks: number; lost: number | undefined; named: boolean },
  { linear = false, heal }: ChildChoice,
  { kind, tokens, withOwn }: TextChoice,
  plan: HealPlan | undefined,
): Work {
  const test = parameters * SHARES.test * tokens;
  const fitting = parameters * SHARES.calibration * tokens;
  const passes = 1 + (blocks + 1) / 2 + Math.max(0, lost - 1) * ((1 + Math.min(AMONG, blocks)) / 2);
  const own = kind === 'own' ? 1 : kind === 'given' && withOwn ? 1 / 2 : 0;
  const choosing = parameters * (SHARES.choosing * tokens + RECALL_TOKENS) * passes;
  return {
    ...(own > 0 && { text: SAMPLED * parameters * own * (tokens + (heal?.tokens ?? 0)) }),
    parent: test,
    ...(!named && { choosing: choosing + (linear ? 2 * fitting : 0) }),
    dropped: test,
    ...(linear && { linear: 2 * fitting + test }),
    written: test,
    ...(heal && plan && { healing: parameters * (TRAINED * heal.tokens + MEASURED) + test }),
    speed: parameters * 256,
  };
}

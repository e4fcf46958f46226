// The rotary embeddings of a `config.json`, read as transformers reads them; what it would ignore is refused.
import type { Rope, RopeScaling } from '../model/spec.ts';
import { fail, field, flag, isNumbers, type Json, object, positive, refuse, size, text } from './fields.ts';

/** Fields of the scaling that each type reads, besides those of all. */
const READ: Record<string, readonly string[]> = {
  default: [],
  linear: ['factor'],
  dynamic: ['factor'],
  llama3: ['factor', 'low_freq_factor', 'high_freq_factor'],
  yarn: ['factor', 'beta_fast', 'beta_slow', 'attention_factor', 'mscale', 'mscale_all_dim', 'truncate'],
  longrope: ['factor', 'short_factor', 'long_factor', 'attention_factor'],
};
const COMMON = ['type', 'rope_type', 'rope_theta', 'original_max_position_embeddings'];
/** Fields that change nothing when they are 1. */
const ONES = ['factor', 'partial_rotary_factor', 'attention_factor', 'mscale'];

/** Part of each head that is rotated, in the words of several families. */
const PARTIAL = ['partial_rotary_factor', 'rotary_pct', 'rotary_percent'];

/**
 * The object that says how to rotate: `rope_scaling` before `rope_parameters`, an empty one being none. One that is nested by
 * layer type is that of full attention, for other layers are refused.
 */
function parametersOf(json: Json): Json {
  const given = [object(json, 'rope_scaling'), object(json, 'rope_parameters')];
  const parameters = given.find((each) => each && Object.keys(each).length > 0) ?? {};
  if (!('full_attention' in parameters)) return parameters;
  return (
    object(parameters, 'full_attention') ?? refuse('attention without rotary embeddings is not supported.')
  );
}

function checkFields(parameters: Json, type: string, partial: boolean): void {
  const known = [...COMMON, ...READ[type]!, ...(partial ? ['partial_rotary_factor'] : [])];
  for (const [name, value] of Object.entries(parameters)) {
    if (known.includes(name) || value === null || (ONES.includes(name) && value === 1)) continue;
    refuse(
      `the rope ${type === 'default' ? 'parameters have' : `scaling "${type}" has`} "${name}": ${JSON.stringify(value)}, which is not supported.`,
      name === 'factor' ? 'Name the type of the scaling in "rope_type".' : undefined,
    );
  }
}

/** Dimensions of a head that rotate, where they are not all. */
function rotatedOf(json: Json, parameters: Json, headDim: number): number | undefined {
  const share = positive(parameters, 'partial_rotary_factor') ?? positive(json, 'partial_rotary_factor') ?? 1;
  const rotated = Math.floor(headDim * share);
  if (share > 1 || rotated < 2 || rotated % 2 !== 0)
    fail(`"partial_rotary_factor" ${share} rotates ${rotated} of ${headDim} dimensions.`);
  return rotated < headDim ? rotated : undefined;
}

/** How YaRN raises cosines and sines where the config does not say. */
function yarnAmplitude(parameters: Json, factor: number): number {
  const raised = (scale: number): number => (factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1);
  const [mscale, all] = [positive(parameters, 'mscale'), positive(parameters, 'mscale_all_dim')];
  return mscale && all ? raised(mscale) / raised(all) : raised(1);
}

/** What a config leaves open, by family. */
export interface RopeContext {
  headDim: number;
  maxPositions: number;
  /** The context before it was scaled, where a config names none; without it, `maxPositions`. */
  originalMaxPositions?: number | undefined;
  /** The base where a config names none. */
  theta?: number | undefined;
  /** Whether the family reads `partial_rotary_factor`. */
  partial?: boolean | undefined;
}

/** @throws ShishuError `bad-config`, `unsupported` */
export function ropeOf(json: Json, context: RopeContext): Rope {
  const { headDim, partial = false } = context;
  for (const name of PARTIAL.slice(partial ? 1 : 0))
    if ((positive(json, name) ?? 1) !== 1)
      refuse(`"${name}" ${json[name]}: rotating a part of each head is not supported.`);
  const parameters = parametersOf(json);
  const named = text(parameters, 'rope_type') ?? text(parameters, 'type') ?? 'default';
  const type = named === 'su' ? 'longrope' : named;
  if (!Object.hasOwn(READ, type))
    return refuse(`rope type "${type}" is not supported.`, `Supported: ${Object.keys(READ).join(', ')}.`);
  checkFields(parameters, type, partial);
  const theta = positive(parameters, 'rope_theta') ?? positive(json, 'rope_theta') ?? context.theta ?? 10000;
  const rotated = partial ? rotatedOf(json, parameters, headDim) : undefined;
  const { scaling, amplitude } = scalingOf(json, parameters, type, context, rotated ?? headDim);
  const plain = { theta, scaling, ...(rotated !== undefined && { rotated }) };
  return amplitude === 1 ? plain : { ...plain, amplitude };
}

function scalingOf(
  json: Json,
  parameters: Json,
  type: string,
  { maxPositions, originalMaxPositions: otherwise = maxPositions }: RopeContext,
  rotated: number,
): { scaling: RopeScaling; amplitude: number } {
  const number = (name: string): number =>
    positive(parameters, name) ?? fail(`the rope scaling has no "${name}".`);
  const original = 'original_max_position_embeddings';
  const originalMaxPositions = size(json, original) ?? positive(parameters, original) ?? otherwise;
  const given = positive(parameters, 'attention_factor');
  switch (type) {
    case 'linear':
      return { scaling: { type, factor: number('factor') }, amplitude: 1 };
    case 'llama3': {
      const lowFreqFactor = number('low_freq_factor');
      const highFreqFactor = number('high_freq_factor');
      if (highFreqFactor <= lowFreqFactor)
        fail(`rope "high_freq_factor" ${highFreqFactor} is not above "low_freq_factor" ${lowFreqFactor}.`);
      const factor = number('factor');
      return {
        scaling: { type, factor, lowFreqFactor, highFreqFactor, originalMaxPositions },
        amplitude: 1,
      };
    }
    case 'yarn': {
      const factor = positive(parameters, 'factor') ?? maxPositions / originalMaxPositions;
      const betaFast = positive(parameters, 'beta_fast') ?? 32;
      const betaSlow = positive(parameters, 'beta_slow') ?? 1;
      const truncate = flag(parameters, 'truncate') ?? true;
      return {
        scaling: { type, factor, betaFast, betaSlow, originalMaxPositions, truncate },
        amplitude: given ?? yarnAmplitude(parameters, factor),
      };
    }
    case 'longrope': {
      const factors = (name: string): readonly number[] => {
        const list = field(parameters, name, 'a list of positive numbers', isNumbers);
        if (list?.length !== rotated / 2)
          fail(`rope "${name}" lists ${list?.length ?? 'no'} factors, ${rotated / 2} pairs rotate.`);
        return list!;
      };
      const factor = positive(parameters, 'factor') ?? maxPositions / originalMaxPositions;
      const raised = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(originalMaxPositions));
      return {
        scaling: { type, short: factors('short_factor'), long: factors('long_factor'), originalMaxPositions },
        amplitude: given ?? raised,
      };
    }
    case 'dynamic':
      // Scales contexts past the model's own alone, which are not run.
      number('factor');
      break;
  }
  return { scaling: { type: 'none' }, amplitude: 1 };
}

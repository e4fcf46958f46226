// The rotary embeddings of a `config.json`, read as transformers reads them; what it would ignore is refused.
import type { Rope } from '../model/spec.ts';
import { fail, type Json, object, positive, refuse, size, text } from './fields.ts';

/** Fields of the scaling that each type reads, besides those of all. */
const READ: Record<string, readonly string[]> = {
  default: [],
  linear: ['factor'],
  llama3: ['factor', 'low_freq_factor', 'high_freq_factor'],
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

function checkFields(parameters: Json, type: string): void {
  for (const [name, value] of Object.entries(parameters)) {
    const read = [...COMMON, ...READ[type]!].includes(name);
    if (read || value === null || (ONES.includes(name) && value === 1)) continue;
    refuse(
      `the rope ${type === 'default' ? 'parameters have' : `scaling "${type}" has`} "${name}": ${JSON.stringify(value)}, which is not supported.`,
      name === 'factor' ? 'Name the type of the scaling in "rope_type".' : undefined,
    );
  }
}

/** @param absent the base where a config names none. @throws ShishuError `bad-config`, `unsupported` */
export function ropeOf(json: Json, maxPositions: number, absent = 10000): Rope {
  for (const name of PARTIAL)
    if ((positive(json, name) ?? 1) !== 1)
      refuse(`"${name}" ${json[name]}: rotating a part of each head is not supported.`);
  const parameters = parametersOf(json);
  const type = text(parameters, 'rope_type') ?? text(parameters, 'type') ?? 'default';
  if (!Object.hasOwn(READ, type))
    return refuse(`rope type "${type}" is not supported.`, `Supported: ${Object.keys(READ).join(', ')}.`);
  checkFields(parameters, type);
  const theta = positive(parameters, 'rope_theta') ?? positive(json, 'rope_theta') ?? absent;
  const number = (name: string): number =>
    positive(parameters, name) ?? fail(`the rope scaling has no "${name}".`);
  if (type === 'linear') return { theta, scaling: { type, factor: number('factor') } };
  if (type !== 'llama3') return { theta, scaling: { type: 'none' } };
  const lowFreqFactor = number('low_freq_factor');
  const highFreqFactor = number('high_freq_factor');
  if (highFreqFactor <= lowFreqFactor)
    fail(`rope "high_freq_factor" ${highFreqFactor} is not above "low_freq_factor" ${lowFreqFactor}.`);
  const original = 'original_max_position_embeddings';
  const originalMaxPositions = size(json, original) ?? positive(parameters, original) ?? maxPositions;
  const factor = number('factor');
  return {
    theta,
    scaling: { type, factor, lowFreqFactor, highFreqFactor, originalMaxPositions },
  };
}

// `adapter_config.json` of a LoRA adapter, as the Python package peft writes and reads it.
import { ShishuError } from '../errors.ts';
import { isObject, type Json } from '../formats/json.ts';

export const ADAPTER_CONFIG = 'adapter_config.json';

/** What a config says of the modules of a model, which are named as peft names them: `model.layers.0.self_attn.q_proj`. */
export interface AdapterConfig {
  /** The model that it was trained on, as its author named it. */
  base: string | undefined;
  /** Modules that are asked for by their whole name or its end; undefined where a pattern, or `all-linear`, asks for them. */
  listed: readonly string[] | undefined;
  targets(module: string): boolean;
  rankOf(module: string): number;
  /** What `B A` is multiplied by. */
  scaleOf(module: string): number;
}

const details = { file: ADAPTER_CONFIG };

const fail = (message: string): never => {
  throw new ShishuError('bad-config', `${ADAPTER_CONFIG}: ${message}`, { details });
};

const refuse = (field: string, value: unknown, why: string): never => {
  throw new ShishuError(
    'unsupported',
    `${ADAPTER_CONFIG}: "${field}" is ${JSON.stringify(value)}: ${why} not supported.`,
    {
      details: { ...details, field },
      mend: 'Merge the adapter into its model with peft (merge_and_unload), or train one of plain LoRA.',
    },
  );
};

const READ = [
  'peft_type',
  'task_type',
  'r',
  'lora_alpha',
  'use_rslora',
  'target_modules',
  'exclude_modules',
  'rank_pattern',
  'alpha_pattern',
  'layers_to_transform',
  'layers_pattern',
  'init_lora_weights',
  'base_model_name_or_path',
];

/** Of training, of files, and of what other fields switch on. */
const HARMLESS = [
  'auto_mapping',
  'corda_config',
  'ensure_weight_tying',
  'eva_config',
  'inference_mode',
  'loftq_config',
  'lora_dropout',
  'lora_ga_config',
  'megatron_core',
  'peft_version',
  'qalora_group_size',
  'revision',
  'runtime_config',
  'unsloth_fixed',
];

/** What other fields ask for, in words; one that is not here is named as it is. */
const REFUSED: Record<string, string> = {
  bias: 'trained biases are',
  fan_in_fan_out: 'transposed weights are',
  lora_bias: 'biases of B are',
  modules_to_save: 'whole modules beside the low-rank ones are',
  use_dora: 'DoRA is',
  trainable_token_indices: 'trained embeddings are',
  layer_replication: 'repeated layers are',
};

/** Starts of training that leave the model's own weights as they are; others change them, and then the adapter is for those. */
const PLAIN_STARTS: readonly unknown[] = [undefined, null, true, false, 'gaussian', 'orthogonal', 'eva'];

const isEmpty = (value: unknown): boolean =>
  value === undefined ||
  value === null ||
  value === false ||
  value === 'none' ||
  (Array.isArray(value) && value.length === 0) ||
  (isObject(value) && Object.keys(value).length === 0);

const isRank = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) > 0 && (value as number) < 2 ** 20;
const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);
const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((each) => typeof each === 'string');

/** A Python pattern between others. With `u`, what would mean something else here, as `\Z` does, is an error. */
function pattern(field: string, before: string, source: string, after: string): RegExp {
  try {
    return new RegExp(`^${before}(?:${source})${after}`, 'u');
  } catch {
    return refuse(field, source, 'this pattern is');
  }
}

/** Whether a name is a module's, or its end. */
export const isNamed = (module: string, name: string): boolean =>
  module === name || module.endsWith(`.${name}`);

/** Which modules a field names: a list of names or ends of names, or a pattern. */
function named(field: string, value: unknown): (module: string) => boolean {
  if (typeof value === 'string') {
    const whole = pattern(field, '', value, '$');
    return (module) => whole.test(module);
  }
  if (!isTexts(value)) return fail(`"${field}" is ${JSON.stringify(value)}, expected a list or a pattern.`);
  return (module) => value.some((name) => isNamed(module, name));
}

/** The value of the first pattern that a module's name ends with, or the one of all others. */
function patterned<T>(
  json: Json,
  field: string,
  check: (value: unknown) => value is T,
  others: T,
): (module: string) => T {
  const given = json[field] ?? {};
  if (!isObject(given)) return fail(`"${field}" is ${JSON.stringify(given)}, expected an object.`);
  const entries = Object.entries(given).map(([key, value]): [RegExp, T] => {
    if (!check(value)) return fail(`"${field}" gives "${key}" ${JSON.stringify(value)}.`);
    return [pattern(field, '(?:.*\\.)?', key, '$'), value];
  });
  return (module) => entries.find(([key]) => key.test(module))?.[1] ?? others;
}

/** Whether a module is in one of the layers that were trained. */
function inLayers(json: Json): (module: string) => boolean {
  const { layers_to_transform: layers, layers_pattern: names } = json;
  const wanted = typeof layers === 'number' ? [layers] : (layers ?? []);
  if (!Array.isArray(wanted) || !wanted.every((layer) => Number.isInteger(layer) && layer >= 0))
    return fail(`"layers_to_transform" is ${JSON.stringify(layers)}, expected layers.`);
  if (wanted.length === 0) return () => true;
  const lists = typeof names === 'string' ? [names] : (names ?? []);
  if (!isTexts(lists)) return fail(`"layers_pattern" is ${JSON.stringify(names)}, expected names.`);
  const places =
    lists.length === 0 || lists[0] === ''
      ? [/^.*?\.[^.]*\.(?<layer>\d+)\./]
      : // A name may have groups of its own.
        lists.map((name) => pattern('layers_pattern', '(?:.*?\\.)?', name, '\\.(?<layer>\\d+)\\.'));
  return (module) => {
    const match = places.map((place) => place.exec(module)).find((found) => found !== null);
    return match?.groups !== undefined && wanted.includes(Number(match.groups.layer));
  };
}

/** @throws ShishuError `bad-config`, and `unsupported` naming the field for what is no plain LoRA */
export function adapterConfigOf(json: Json): AdapterConfig {
  const { peft_type: type, task_type: task, init_lora_weights: start, base_model_name_or_path: base } = json;
  if (type === undefined) fail('"peft_type" is missing: this is no adapter of peft.');
  if (type !== 'LORA') refuse('peft_type', type, 'only LORA is read, other kinds are');
  if (!isEmpty(task) && task !== 'CAUSAL_LM') refuse('task_type', task, 'only CAUSAL_LM is read, others are');
  if (!PLAIN_STARTS.includes(start))
    refuse('init_lora_weights', start, "a start that changes the model's own weights is");
  for (const [field, value] of Object.entries(json)) {
    if (READ.includes(field) || HARMLESS.includes(field) || isEmpty(value)) continue;
    refuse(field, value, REFUSED[field] ?? 'the field is');
  }
  const { r, lora_alpha: alpha = 8, use_rslora: rooted = false } = json;
  if (!isRank(r)) return fail(`"r" is ${JSON.stringify(r) ?? 'missing'}, expected a whole number above 0.`);
  if (!isNumber(alpha)) return fail(`"lora_alpha" is ${JSON.stringify(alpha)}, expected a number.`);
  if (rooted !== null && typeof rooted !== 'boolean')
    return fail(`"use_rslora" is ${JSON.stringify(rooted)}, expected true or false.`);
  const asked = json.target_modules;
  if (isEmpty(asked)) return fail('"target_modules" names no modules.');
  const all = typeof asked === 'string' && asked.toLowerCase() === 'all-linear';
  const targeted = all ? () => true : named('target_modules', asked);
  const excluded = isEmpty(json.exclude_modules)
    ? () => false
    : named('exclude_modules', json.exclude_modules);
  // A pattern names its layers itself.
  const inside = typeof asked === 'string' ? () => true : inLayers(json);
  const rankOf = patterned(json, 'rank_pattern', isRank, r);
  const alphaOf = patterned(json, 'alpha_pattern', isNumber, alpha);
  const listed = isTexts(asked) ? asked : undefined;
  return {
    base: typeof base === 'string' && base !== '' ? base : undefined,
    listed,
    targets: (module) =>
      !excluded(module) && (listed?.includes(module) || (targeted(module) && inside(module))),
    rankOf,
    scaleOf: (module) => alphaOf(module) / (rooted ? Math.sqrt(rankOf(module)) : rankOf(module)),
  };
}

import type { KvDtype } from '../engine/types.ts';
import { ShishuError } from '../errors.ts';
import { type ChosenDtype, DTYPES, DTYPES_TEXT } from '../quant/index.ts';
import { type BenchModel, benchModelText, parseBenchModel } from './models.ts';

/** What a run measures of two models; all of it, so that equal settings ask for equal work. */
export interface RunSettings {
  /** How weights are kept. */
  dtype: ChosenDtype;
  kv: KvDtype;
  /** Slice of the stack of shapes, in blocks; undefined: whole. */
  blocks: number | undefined;
  /** Prompt lengths for the time to the first token. */
  prompts: readonly number[];
  /** Context positions at which decoding is timed. */
  positions: readonly number[];
  /** Sequences that decode together. */
  batches: readonly number[];
  /** Timed tokens of a sample. */
  steps: number;
  /** Samples of each point. */
  repetitions: number;
  /** GPU time by kernel. */
  kernels: boolean;
  /** Time of a training step, by the training module. */
  training: boolean;
}

/** A run and its models. */
export interface BenchSettings extends RunSettings {
  parent: BenchModel;
  child: BenchModel;
}

/** Small enough to end within a minute or two where a CPU plays GPU, and for the embedded pair's context of 160 tokens. */
export const QUICK: RunSettings = {
  dtype: 'f32',
  kv: 'f32',
  blocks: undefined,
  prompts: [32, 128],
  positions: [16, 64, 144],
  batches: [1, 4],
  steps: 8,
  repetitions: 5,
  kernels: true,
  training: false,
};

/** For GPUs. */
export const FULL: RunSettings = {
  ...QUICK,
  prompts: [32, 128, 512, 2048],
  positions: [100, 500, 1000, 2000],
  batches: [1, 2, 4, 8, 16, 32],
  steps: 32,
  repetitions: 9,
};

export type SettingName = keyof BenchSettings;

/** Settings of a run as `name=text`, as they stand in a link, in a form and on the command line. */
export const runSettingsText = (settings: RunSettings): Record<keyof RunSettings, string> => ({
  dtype: settings.dtype,
  kv: settings.kv,
  blocks: settings.blocks === undefined ? 'all' : String(settings.blocks),
  prompts: settings.prompts.join(','),
  positions: settings.positions.join(','),
  batches: settings.batches.join(','),
  steps: String(settings.steps),
  repetitions: String(settings.repetitions),
  kernels: settings.kernels ? 'yes' : 'no',
  training: settings.training ? 'yes' : 'no',
});

/** The same with the models. */
export const settingsText = (settings: BenchSettings): Record<SettingName, string> => ({
  parent: benchModelText(settings.parent),
  child: benchModelText(settings.child),
  ...runSettingsText(settings),
});

const NAMES: readonly string[] = ['parent', 'child', ...Object.keys(runSettingsText(QUICK))];

function refuse(name: string, text: string, wanted: string): never {
  throw new ShishuError('bad-argument', `Setting "${name}" is "${text}", expected ${wanted}.`, {
    details: { setting: name, value: text },
  });
}

function whole(name: string, text: string, most: number): number {
  const value = /^\s*\d+\s*$/.test(text) ? Number(text) : Number.NaN;
  return value >= 1 && value <= most ? value : refuse(name, text, `a whole number from 1 to ${most}`);
}

/** Distinct, in rising order; an empty text leaves the measurement out. */
function list(name: string, text: string, most: number): number[] {
  if (text.trim() === '') return [];
  const values = new Set(text.split(',').map((part) => whole(name, part, most)));
  return [...values].sort((a, b) => a - b);
}

/**
 * Reads settings; a missing one is that of `defaults`.
 * @throws ShishuError `bad-argument` for an unknown name or a value out of range
 */
export function parseSettings(given: Readonly<Record<string, string>>, defaults = QUICK): BenchSettings {
  for (const name of Object.keys(given))
    if (!NAMES.includes(name))
      throw new ShishuError('bad-argument', `There is no setting "${name}".`, {
        details: { setting: name },
        mend: `Settings: ${NAMES.join(', ')}.`,
      });
  const asked = (name: 'parent' | 'child'): BenchModel => {
    try {
      return parseBenchModel(given[name] ?? '');
    } catch (error) {
      if (error instanceof ShishuError) Object.assign(error.details, { setting: name });
      throw error;
    }
  };
  const [parent, child] = [asked('parent'), asked('child')];
  const texts = { ...runSettingsText(defaults), ...given };
  if (!DTYPES.includes(texts.dtype as ChosenDtype)) refuse('dtype', texts.dtype, DTYPES_TEXT);
  if (texts.kv !== 'f32' && texts.kv !== 'f16') refuse('kv', texts.kv, 'f32 or f16');
  for (const name of ['kernels', 'training'] as const)
    if (texts[name] !== 'yes' && texts[name] !== 'no') refuse(name, texts[name], 'yes or no');
  return {
    parent,
    child,
    dtype: texts.dtype as ChosenDtype,
    kv: texts.kv as KvDtype,
    blocks: texts.blocks === 'all' ? undefined : whole('blocks', texts.blocks, 1000),
    prompts: list('prompts', texts.prompts, 32768),
    positions: list('positions', texts.positions, 32768),
    batches: list('batches', texts.batches, 256),
    steps: whole('steps', texts.steps, 1000),
    repetitions: whole('repetitions', texts.repetitions, 1000),
    kernels: texts.kernels === 'yes',
    training: texts.training === 'yes',
  };
}

/** The part of a link after `#`. */
export const settingsToLink = (settings: BenchSettings): string =>
  new URLSearchParams(settingsText(settings)).toString();

/** @throws ShishuError as `parseSettings` */
export const settingsFromLink = (hash: string): BenchSettings =>
  parseSettings(Object.fromEntries(new URLSearchParams(hash.replace(/^#/, ''))));

/** Tokens of KV cache that a run needs for one sequence. */
export function contextOf({ prompts, positions, steps }: BenchSettings): number {
  return Math.max(1, ...prompts, ...positions.map((position) => position + steps));
}

/** Tokens of KV cache for the batches, which decode at the first position. */
export const batchPosition = ({ positions }: BenchSettings): number => positions[0] ?? 16;
export const batchContext = (settings: BenchSettings): number => batchPosition(settings) + settings.steps;

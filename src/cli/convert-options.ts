import type { ParseArgsConfig } from 'node:util';
import { type ChooseOptions, WEIGHTS } from '../convert/choose.ts';
import type { HealOptions } from '../convert/heal.ts';
import type { TextOptions } from '../convert/text.ts';
import { checkProfile } from '../gpu/profile.ts';
import {
  numberInRange,
  numberOf,
  parseCommand,
  refuseOptions,
  text,
  usageError,
  wholeNumberOf,
} from './args.ts';
import { readText } from './io.ts';

/** Options of the commands that measure a model on text. */
export const TEXT_OPTIONS = { text, tokens: text, window: text, seed: text } as const;

export const TEXT_HELP = `  --text FILE      text to calibrate and measure on, - for stdin (for a model of the built-in corpus chats of it,
                   else the model's own words, sampled)
  --tokens N       most tokens of it to fit to and to measure on (20000)
  --window N       tokens of a window (256; 128 of the built-in corpus)
  --seed N         of chats and sampled text (1)`;

/** Options of the commands that choose blocks. */
export const CHOICE_OPTIONS = { 'recall-weight': text, among: text } as const;

export const CHOICE_HELP = `  --recall-weight X  what a nat of words that come the second time counts, a nat of text being 1 (${WEIGHTS.recall})
  --among N        blocks that are measured anew before each choice, those that cost least so far (6)`;

export function choiceOptionsOf(values: {
  'recall-weight'?: string;
  among?: string;
}): Pick<ChooseOptions, 'weights' | 'among'> {
  const recall = numberInRange('recall-weight', values['recall-weight'], 0, 1000);
  return {
    weights: recall === undefined ? undefined : { ...WEIGHTS, recall },
    among: wholeNumberOf('among', values.among, 1, 9999),
  };
}

/** Parses the options of these commands, and one folder; those that say how to load a model for use have no meaning here. */
export function parseTextCommand<const T extends NonNullable<ParseArgsConfig['options']>>(
  argv: readonly string[],
  options: T,
) {
  const { values, folder } = parseCommand(argv, { ...TEXT_OPTIONS, ...options });
  refuseOptions(values, ['dtype', 'kv', 'context', 'tune', 'no-tune', 'tuning']);
  return { values, folder, profile: checkProfile((values as { profile?: string }).profile ?? 'auto') };
}

/** What `--heal` and `--heal-lr` ask for. */
export function healOptionsOf(tokens: string | undefined, rate: string | undefined): HealOptions | undefined {
  const learningRate = numberOf('heal-lr', rate);
  if (learningRate !== undefined && !(learningRate > 0 && learningRate <= 1))
    throw usageError(`--heal-lr is ${learningRate}, expected a number above 0, at most 1.`);
  const count = wholeNumberOf('heal', tokens, 1, 1e9);
  if (count !== undefined) return { tokens: count, learningRate };
  if (rate !== undefined) throw usageError('--heal-lr has no meaning without --heal.');
  return undefined;
}

export async function textOptionsOf(
  values: { text?: string; tokens?: string; window?: string; seed?: string },
  signal: AbortSignal,
): Promise<TextOptions> {
  return {
    tokens: wholeNumberOf('tokens', values.tokens, 1, 1e8),
    window: wholeNumberOf('window', values.window, 2, 1024),
    seed: wholeNumberOf('seed', values.seed, 0, 2 ** 31 - 1),
    text: values.text === undefined ? undefined : await readText(values.text),
    signal,
  };
}

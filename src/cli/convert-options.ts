import type { ParseArgsConfig } from 'node:util';
import { type ChooseOptions, WEIGHTS } from '../convert/choose.ts';
import type { TextOptions } from '../convert/text.ts';
import { checkProfile } from '../gpu/profile.ts';
import { numberInRange, parseCommand, refuseOptions, text, wholeNumberOf } from './args.ts';
import { textsOf } from './text-files.ts';

/** Options of the commands that measure a model on text. */
export const TEXT_OPTIONS = {
  text: { type: 'string', multiple: true },
  own: text,
  other: text,
  tokens: text,
  window: text,
  seed: text,
} as const;

export const TEXT_HELP = `  --text FILE[:W]  text to calibrate and measure on: a text file, a folder of them, chats (JSONL with "messages"), - for
                   stdin; several with their weights. A part of each is held out, which nothing is fitted to or
                   trained on (without: for a model of the built-in corpus chats of it, else the model's own words,
                   half of them chats)
  --own W          also the model's own words, with this weight
  --other FILE     a text of another kind to measure on too
  --tokens N       most tokens of it to fit to and to measure on (20000)
  --window N       tokens of a window (256; 128 of the built-in corpus); at most 512 to heal
  --seed N         of chats, sampled text, and what is held out (1)`;

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

export async function textOptionsOf(
  values: {
    text?: string[];
    own?: string;
    other?: string;
    tokens?: string;
    window?: string;
    seed?: string;
  },
  signal: AbortSignal,
): Promise<TextOptions> {
  return {
    tokens: wholeNumberOf('tokens', values.tokens, 1, 1e8),
    window: wholeNumberOf('window', values.window, 2, 1024),
    seed: wholeNumberOf('seed', values.seed, 0, 2 ** 31 - 1),
    ...(await textsOf(values)),
    signal,
  };
}

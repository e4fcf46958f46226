import type { TextOptions } from '../convert/text.ts';
import { numberOf, text, usageError } from './args.ts';
import { readText } from './io.ts';

/** Options of the commands that measure a model on text. */
export const TEXT_OPTIONS = { text, tokens: text, window: text, seed: text } as const;

export const TEXT_HELP = `  --text FILE      text to calibrate and measure on, - for stdin (the model's own, sampled)
  --tokens N       most tokens of it (20000)
  --window N       tokens of a window (256)
  --seed N         of sampled text (1)`;

/** A whole number in a range from an option's text. */
export function wholeNumberOf(
  name: string,
  value: string | undefined,
  from: number,
  to: number,
): number | undefined {
  const number = numberOf(name, value);
  if (number !== undefined && !(Number.isInteger(number) && number >= from && number <= to))
    throw usageError(`--${name} is ${number}, expected a whole number from ${from} to ${to}.`);
  return number;
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

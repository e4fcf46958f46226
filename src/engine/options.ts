import { refuseOption, ShishuError } from '../errors.ts';
import type { ThoughtTags } from '../formats/reasoning.ts';
import { checkTemplateVariables, type TemplateVariables } from '../formats/template-variables.ts';
import type { Constraint } from '../grammar/constraint.ts';
import { MAX_TOP } from '../kernels/logits.ts';
import type { ModeSetting } from './modes.ts';
import type { GenerateOptions } from './types.ts';

/** Options with every default filled in and every value checked. */
export interface CheckedOptions {
  maxTokens: number | undefined;
  temperature: number;
  topK: number;
  topP: number;
  minP: number;
  repetitionPenalty: number;
  frequencyPenalty: number;
  presencePenalty: number;
  logitBias: ReadonlyMap<number, number>;
  seed: number;
  /** Tokens of `top`, or undefined for no log-probabilities. */
  top: number | undefined;
  stop: readonly string[];
  stopTokenIds: readonly number[];
  constraint: Constraint | undefined;
  ignoreEos: boolean;
  addGenerationPrompt: boolean;
  tools: readonly object[] | undefined;
  templateVariables: TemplateVariables | undefined;
  reasoningTags: ThoughtTags | false | undefined;
  reasoningBudget: number | undefined;
  modes: ModeSetting | undefined;
  adapter: string | undefined;
  signal: AbortSignal | undefined;
}

export const number = (low: number, high: number, { whole = false, above = false } = {}) => {
  const range = above ? `above ${low} and at most ${high}` : `${low} to ${high}`;
  const wanted = `${whole ? 'a whole number' : 'a number'} from ${range}`;
  return (name: string, value: unknown): number =>
    typeof value === 'number' &&
    (above ? value > low : value >= low) &&
    value <= high &&
    (!whole || Number.isInteger(value))
      ? value
      : refuseOption(name, value, wanted);
};

export const flag = (name: string, value: unknown): boolean =>
  typeof value === 'boolean' ? value : refuseOption(name, value, 'true or false');

export const abortSignal = (name: string, value: unknown): AbortSignal =>
  value instanceof AbortSignal ? value : refuseOption(name, value, 'an AbortSignal');

const list =
  <T>(each: (value: unknown) => value is T, wanted: string) =>
  (name: string, value: unknown): T[] =>
    Array.isArray(value) && value.every(each) ? value : refuseOption(name, value, wanted);

export const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';
const isTags = (value: unknown): value is ThoughtTags =>
  typeof value === 'object' &&
  value !== null &&
  Object.keys(value).sort().join() === 'close,open' &&
  Object.values(value).every(isText);
const strings = list(isText, 'a text or a list of texts, none empty');

type OptionChecks<T> = { [K in keyof Required<T>]: (name: string, value: unknown) => unknown };

/** Options that are given, each as its check returns it. @throws ShishuError `bad-argument` naming an unknown one */
export function givenOptions<T extends object>(options: T, checks: OptionChecks<T>): Partial<T> {
  const given: Partial<Record<keyof T, unknown>> = {};
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(checks, name))
      throw new ShishuError('bad-argument', `There is no option "${name}".`, {
        details: { option: name },
        mend: `Options: ${Object.keys(checks).join(', ')}.`,
      });
    const known = name as keyof T;
    if (value !== undefined) given[known] = checks[known](name, value);
  }
  return given as Partial<T>;
}

/**
 * Checks the options of one reply.
 * @param vocabSize bound of token ids
 * @throws ShishuError `bad-argument` naming an unknown option or one out of range
 */
export function checkOptions(options: GenerateOptions, vocabSize: number): CheckedOptions {
  const isToken = (value: unknown): value is number =>
    Number.isInteger(value) && (value as number) >= 0 && (value as number) < vocabSize;
  const tokens = list(isToken, `a list of token ids below ${vocabSize}`);
  const bias = (name: string, value: unknown): Map<number, number> => {
    // A list or a Map would be read as none, or by its places.
    if (typeof value !== 'object' || value === null || Symbol.iterator in value)
      return refuseOption(name, value, 'an object of token ids and numbers');
    const entries = Object.entries(value).map(([id, add]): [number, number] => {
      if (!isToken(Number(id))) return refuseOption(name, id, `token ids below ${vocabSize}`);
      return [Number(id), number(-1e4, 1e4)(`${name}[${id}]`, add)];
    });
    return new Map(entries);
  };
  const checks: OptionChecks<GenerateOptions> = {
    maxTokens: number(1, 2 ** 31 - 1, { whole: true }),
    temperature: number(0, 100),
    topK: number(0, 2 ** 31 - 1, { whole: true }),
    topP: number(0, 1, { above: true }),
    minP: number(0, 1),
    repetitionPenalty: number(0, 100, { above: true }),
    frequencyPenalty: number(-100, 100),
    presencePenalty: number(-100, 100),
    logitBias: bias,
    seed: number(-(2 ** 53), 2 ** 53, { whole: true }),
    logprobs: flag,
    topLogprobs: number(0, MAX_TOP, { whole: true }),
    stop: (name, value) => strings(name, typeof value === 'string' ? [value] : value),
    stopTokenIds: (name, value) =>
      tokens(name, ArrayBuffer.isView(value) ? Array.from(value as Uint32Array) : value),
    constraint: (name, value) =>
      typeof value === 'object' && value !== null ? value : refuseOption(name, value, 'an object'),
    ignoreEos: flag,
    addGenerationPrompt: flag,
    tools: list(
      (value): value is object => typeof value === 'object' && value !== null,
      'a list of functions',
    ),
    templateVariables: checkTemplateVariables,
    reasoningTags: (name, value) =>
      value === false || isTags(value)
        ? value
        : refuseOption(name, value, 'false or { open, close }, both texts'),
    reasoningBudget: number(0, 2 ** 31 - 1, { whole: true }),
    // The model judges them by its plan.
    modes: (_, value) => value,
    // And knows their names.
    adapter: (name, value) => (isText(value) ? value : refuseOption(name, value, "an adapter's name")),
    signal: abortSignal,
  };
  const { logprobs, topLogprobs, ...rest } = givenOptions(options, checks);
  if (topLogprobs !== undefined && logprobs !== true)
    refuseOption('topLogprobs', topLogprobs, 'to be used with "logprobs": true');
  return {
    maxTokens: undefined,
    temperature: 0,
    topK: 0,
    topP: 1,
    minP: 0,
    repetitionPenalty: 1,
    frequencyPenalty: 0,
    presencePenalty: 0,
    logitBias: new Map(),
    seed: Math.floor(Math.random() * 2 ** 32),
    stop: [],
    stopTokenIds: [],
    constraint: undefined,
    ignoreEos: false,
    addGenerationPrompt: true,
    tools: undefined,
    templateVariables: undefined,
    reasoningTags: undefined,
    reasoningBudget: undefined,
    modes: undefined,
    adapter: undefined,
    signal: undefined,
    ...(rest as Partial<CheckedOptions>),
    top: logprobs === true ? ((topLogprobs as number | undefined) ?? 0) : undefined,
  };
}

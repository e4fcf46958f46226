// How a model does on items, as lm-evaluation-harness counts it. Source: its loglikelihood, loglikelihood_rolling, generate_until
import { collect } from '../engine/collect.ts';
import type { EngineModel } from '../engine/model-interface.ts';
import { throwIfAborted } from '../errors.ts';
import type { ExactMatch, Item, MultipleChoice, PlainText } from './task.ts';

/** What is asked of a model. */
export type EvalModel = Pick<EngineModel, 'encode' | 'score' | 'generate' | 'applyChatTemplate'> & {
  readonly info: Pick<EngineModel['info'], 'contextLength'>;
};

export interface JudgeOptions {
  /** Between a prompt and a choice (default a space). */
  delimiter?: string;
  /** Ask by the model's chat template. */
  chat?: boolean;
  /** What ends an answer (default an empty line). */
  stop?: readonly string[];
  /** Most tokens of an answer (default 256). */
  maxTokens?: number;
  /** Token id that texts begin behind, where `encode` puts none there. */
  prefix?: number | undefined;
  signal?: AbortSignal;
}

/** How an item went. */
export type Outcome =
  /** `logprobs` of the choices, nats; `normed`: by character. */
  | { kind: 'choice'; right: boolean; rightNormed: boolean; logprobs: number[] }
  | { kind: 'match'; right: boolean; said: string }
  /** `logprob` of the text, nats. */
  | { kind: 'text'; logprob: number; words: number; bytes: number };

const likeliest = (values: readonly number[]): number => values.indexOf(Math.max(...values));

/** The prompt as the model reads it. */
async function asked(model: EvalModel, prompt: string, { chat }: JudgeOptions): Promise<string> {
  return chat ? model.applyChatTemplate([{ role: 'user', content: prompt }]) : prompt;
}

async function judgeChoice(
  model: EvalModel,
  { prompt, choices, answer }: MultipleChoice,
  options: JudgeOptions,
): Promise<Outcome> {
  const { delimiter = options.chat ? '' : ' ', prefix, signal } = options;
  const full = await asked(model, prompt, options);
  // Space at the end of a prompt belongs to what follows, which tokens take it with them.
  const context = full.trimEnd();
  const between = full.slice(context.length) + delimiter;
  const begin = await model.encode(context);
  const before = begin.length === 0 && prefix !== undefined ? [prefix] : [];
  const logprobs: number[] = [];
  for (const choice of choices) {
    const ids = [...before, ...(await model.encode(context + between + choice))];
    const score = await model.score(ids, signal ? { signal } : {});
    const own = score.logprobs.subarray(Math.max(1, before.length + begin.length));
    logprobs.push(own.reduce((sum, logprob) => sum + logprob, 0));
  }
  const normed = logprobs.map((logprob, i) => logprob / choices[i]!.length);
  return {
    kind: 'choice',
    right: likeliest(logprobs) === answer,
    rightNormed: likeliest(normed) === answer,
    logprobs,
  };
}

async function judgeMatch(
  model: EvalModel,
  { prompt, answers }: ExactMatch,
  options: JudgeOptions,
): Promise<Outcome> {
  const { stop = ['\n\n'], maxTokens = 256, signal, chat } = options;
  const call = { stop, maxTokens, temperature: 0, ...(signal && { signal }) };
  const question = chat ? [{ role: 'user', content: prompt }] : prompt;
  const { text } = await collect(model.generate(question, call));
  throwIfAborted(signal);
  const said = text.trim();
  return { kind: 'match', right: answers.some((answer) => answer.trim() === said), said };
}

/**
 * Windows of at most `most` tokens in which each token but the first is predicted once: from the place `from` on. The last window
 * begins as early as it can.
 */
export function windowsOf(ids: readonly number[], most: number): { ids: number[]; from: number }[] {
  const windows: { ids: number[]; from: number }[] = [];
  for (let at = 1; at < ids.length; at += most - 1) {
    const end = Math.min(ids.length, at + most - 1);
    const start = at === 1 ? 0 : end - most;
    windows.push({ ids: ids.slice(start, end), from: at - start });
  }
  return windows;
}

async function judgeText(
  model: EvalModel,
  { text }: PlainText,
  { prefix, signal }: JudgeOptions,
): Promise<Outcome> {
  const ids = await model.encode(text);
  const all = prefix === undefined || ids[0] === prefix ? ids : [prefix, ...ids];
  let logprob = 0;
  for (const window of windowsOf(all, model.info.contextLength)) {
    const { logprobs } = await model.score(window.ids, signal ? { signal } : {});
    logprob += logprobs.subarray(window.from).reduce((sum, each) => sum + each, 0);
  }
  return {
    kind: 'text',
    logprob,
    words: text.split(/\s+/).length,
    bytes: new TextEncoder().encode(text).length,
  };
}

/** @throws ShishuError those of `Model.score` and `generate` */
export function judge(model: EvalModel, item: Item, options: JudgeOptions = {}): Promise<Outcome> {
  if (item.kind === 'choice') return judgeChoice(model, item, options);
  if (item.kind === 'match') return judgeMatch(model, item, options);
  return judgeText(model, item, options);
}

export interface Figure {
  value: number;
  /** Standard error of a mean. */
  stderr?: number;
}

/** Figures over outcomes, by their names in lm-evaluation-harness, and how many items of each kind there were. */
export interface Report {
  items: { choice: number; match: number; text: number };
  figures: Partial<
    Record<
      'acc' | 'acc_norm' | 'exact_match' | 'word_perplexity' | 'byte_perplexity' | 'bits_per_byte',
      Figure
    >
  >;
}

function share(right: readonly boolean[]): Figure {
  const n = right.length;
  const value = right.filter(Boolean).length / n;
  return { value, ...(n > 1 && { stderr: Math.sqrt((value * (1 - value)) / (n - 1)) }) };
}

export function reportOf(outcomes: readonly Outcome[]): Report {
  const of = <K extends Outcome['kind']>(kind: K) =>
    outcomes.filter((each): each is Extract<Outcome, { kind: K }> => each.kind === kind);
  const [choices, matches, texts] = [of('choice'), of('match'), of('text')];
  const sum = (key: 'logprob' | 'words' | 'bytes'): number => texts.reduce((all, each) => all + each[key], 0);
  return {
    items: { choice: choices.length, match: matches.length, text: texts.length },
    figures: {
      ...(choices.length > 0 && {
        acc: share(choices.map(({ right }) => right)),
        acc_norm: share(choices.map(({ rightNormed }) => rightNormed)),
      }),
      ...(matches.length > 0 && { exact_match: share(matches.map(({ right }) => right)) }),
      ...(texts.length > 0 && {
        word_perplexity: { value: Math.exp(-sum('logprob') / sum('words')) },
        byte_perplexity: { value: Math.exp(-sum('logprob') / sum('bytes')) },
        bits_per_byte: { value: -sum('logprob') / sum('bytes') / Math.LN2 },
      }),
    },
  };
}

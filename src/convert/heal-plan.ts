// How a child is healed: what is trained, how many windows at a time, and what memory that takes.
import { ShishuError } from '../errors.ts';
import type { ModelSpec } from '../model/spec.ts';
import { trainingBytes } from '../train/plan.ts';
import { checkTrainable, LONGEST_WINDOW } from '../train/trainable.ts';
import type { Trained } from '../train/trained.ts';
import { checkMixture } from './mixture.ts';
import { inUsualOrder } from './parent-tensors.ts';
import type { Windows } from './windows.ts';

export interface HealOptions {
  /** Tokens of text to train on. */
  tokens: number;
  /** Peak learning rate (default: 0.0002 of a model as wide as SmolLM2-135M, more of narrower ones, less of wider). */
  learningRate?: number | undefined;
  /** Steps in which the rate grows to its peak (default 10, at most a tenth of all). */
  warmUp?: number | undefined;
  /** Share of the loss that is KL to the parent, the rest is cross-entropy (default 1). */
  mix?: number | undefined;
  /** Factor of the loss of the last hidden states: their squared distance from the parent's as a share of its square (default 0). */
  hidden?: number | undefined;
  /** Tokens of a step (default 2048; a 32nd of all where that is less). */
  stepTokens?: number | undefined;
  /** Windows that run at once; a step adds up as many as it needs (default: what fits, some 1024 tokens). */
  rows?: number | undefined;
  /**
   * Every weight from the first changed block on; the MLPs, maps and norms of changed blocks with all norms; or a product of two
   * matrices of a rank on every matrix (LoRA). Default: the first of these that fits.
   */
  trained?: Trained | undefined;
  /** Most bytes of GPU memory to take (default 8 GB): WebGPU does not say how much there is. */
  memory?: number | undefined;
  /** Minutes between two checkpoints, where there is a place for them (default 5). */
  checkpointMinutes?: number | undefined;
  /** Of the order of the windows (default 1). */
  seed?: number | undefined;
}

/** What healing needs of a text; nothing is trained on what blocks are chosen by: its loss is along the curve. */
export type HealingText = Pick<Windows, 'healing' | 'choosing'>;

/** What is decided before a healing begins; plain data. */
export interface HealPlan {
  trained: Trained;
  /** The lowest block that changes. */
  lowest: number;
  /** Windows that run at once, tokens of a window, and how many times of them a step adds up. */
  rows: number;
  length: number;
  accumulate: number;
  steps: number;
  /** GPU memory that it takes. */
  bytes: number;
}

const MEMORY = 8e9;
const STEP_TOKENS = 2048;
/** Steps of a run, at least, unless the tokens of a step are given. */
const LEAST_STEPS = 32;
/** Tokens that run at once. */
const TOKENS_AT_ONCE = 1024;
const LORA_RANK = 16;

const CHOICES: readonly Trained[] = ['all', 'changed', { rank: LORA_RANK }];

/** What is trained, as the command line names it. */
export const trainedText = (trained: Trained): string =>
  typeof trained === 'string' ? trained : `lora:${trained.rank}`;

/** Bytes for people. */
export const memoryText = (bytes: number): string =>
  bytes < 1e9 ? `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;

const lengthOf = ({ healing }: HealingText): number =>
  healing.flatMap(({ windows }) => windows).reduce((most, window) => Math.max(most, window.length - 1), 1);

/** Refuses parents that the trainer lacks something for. @throws ShishuError `unsupported`, naming it */
export const checkHealable = (parent: ModelSpec): void => checkTrainable(inUsualOrder(parent));

/**
 * Refuses what healing could not do, before anything is measured.
 * @throws ShishuError `unsupported` for what the trainer lacks, by name; `bad-argument` for too short a text; `does-not-fit`
 */
export function checkHealing(parent: ModelSpec, text: HealingText, options: HealOptions): void {
  checkHealable(parent);
  checkMixture(text.healing, options.tokens);
  const length = lengthOf(text);
  if (length > LONGEST_WINDOW)
    throw new ShishuError(
      'bad-argument',
      `Healing takes windows of at most ${LONGEST_WINDOW} tokens, not ${length}.`,
      { details: { length, limit: LONGEST_WINDOW }, mend: 'Give shorter windows.' },
    );
  // A child takes no less than this, whichever blocks it changes.
  planHealing(parent, parent, text, options);
}

/** The first block that is not the parent's. */
function lowestChanged(parent: ModelSpec, child: ModelSpec): number {
  const at = child.blocks.findIndex(
    ({ mixer, feedForward }, i) =>
      mixer.kind !== parent.blocks[i]?.mixer.kind ||
      feedForward.owner !== parent.blocks[i]?.feedForward.owner ||
      child.blocks.some((other, j) => j > i && other.feedForward.owner === i),
  );
  return Math.max(0, at);
}

/**
 * Decides what is trained and how much runs at once, by the memory there is.
 * @throws ShishuError `does-not-fit`, with what would fit
 */
export function planHealing(
  parent: ModelSpec,
  child: ModelSpec,
  text: HealingText,
  options: HealOptions,
): HealPlan {
  const { tokens, memory = MEMORY, mix = 1, hidden } = options;
  const { stepTokens = Math.min(STEP_TOKENS, tokens / LEAST_STEPS) } = options;
  const length = lengthOf(text);
  const wanted = Math.max(1, Math.round(stepTokens / length));
  const most = options.rows ?? Math.max(1, Math.floor(TOKENS_AT_ONCE / length));
  const teacher = { spec: inUsualOrder(parent), mix, hidden };
  const lowest = lowestChanged(parent, child);
  const planFor = (trained: Trained, rows: number): HealPlan => {
    const accumulate = Math.max(1, Math.round(wanted / rows));
    const sizes = { rows, length, trained, lowest, accumulate, teacher };
    const bytes = trainingBytes(inUsualOrder(child), sizes).total;
    const steps = Math.max(1, Math.round(tokens / (rows * accumulate * (length + 1))));
    return { trained, lowest, rows, length, accumulate, steps, bytes };
  };
  const choices = options.trained === undefined ? CHOICES : [options.trained];
  const plans = choices.flatMap((trained) => {
    const list: HealPlan[] = [];
    for (let rows = Math.min(most, wanted); ; rows = Math.floor(rows / 2)) {
      list.push(planFor(trained, rows));
      if (rows === 1 || options.rows !== undefined) return list;
    }
  });
  const fitting = plans.find(({ bytes }) => bytes <= memory);
  if (fitting) return fitting;
  const least = plans.reduce((a, b) => (b.bytes < a.bytes ? b : a));
  throw new ShishuError(
    'does-not-fit',
    `Healing takes ${memoryText(least.bytes)} of GPU memory, of ${memoryText(memory)} that it may.`,
    {
      details: { bytes: least.bytes, limit: memory },
      mend: `${smallerText(planFor, least)} Or let it take more memory, where there is some.`,
    },
  );
}

/** What takes less than a plan. */
function smallerText(
  planFor: (trained: Trained, rows: number) => HealPlan,
  { trained, rows, bytes }: HealPlan,
): string {
  const smaller = [
    ...(rows > 1 ? [planFor(trained, 1)] : []),
    ...CHOICES.filter((choice) => trainedText(choice) !== trainedText(trained)).map((choice) =>
      planFor(choice, 1),
    ),
  ].filter((plan) => plan.bytes < bytes);
  if (smaller.length === 0) return 'Nothing takes less.';
  const told = smaller.map(
    (plan) =>
      `${trainedText(plan.trained)} with 1 window of ${plan.length} at once ${memoryText(plan.bytes)}`,
  );
  return `Less would be: ${told.join('; ')}.`;
}

/** What a child could be healed with where a plan found no memory. */
export function lessMemoryText(
  parent: ModelSpec,
  child: ModelSpec,
  text: HealingText,
  options: HealOptions,
  plan: HealPlan,
): string {
  const planFor = (trained: Trained, rows: number): HealPlan =>
    planHealing(parent, child, text, { ...options, trained, rows, memory: Number.POSITIVE_INFINITY });
  return smallerText(planFor, plan);
}

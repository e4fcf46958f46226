import { freemem } from 'node:os';
import type { HealOptions } from '../convert/heal-plan.ts';
import { numberInRange, text, usageError, wholeNumberOf } from './args.ts';

/** Options of the commands that heal. */
export const HEAL_OPTIONS = {
  heal: text,
  train: text,
  'heal-lr': text,
  'heal-warmup': text,
  'heal-mix': text,
  'heal-hidden': text,
  'heal-step': text,
  'heal-rows': text,
  memory: text,
  'checkpoint-minutes': text,
} as const;

export const HEAL_HELP = `  --train WHAT         all (every weight from the first changed block on), changed (MLPs, maps and norms of the changed
                       blocks, with all norms) or lora:RANK (the first that fits the memory)
  --memory GB          GPU memory that training may take (8, at most what this machine has free)
  --heal-lr X          peak learning rate (by the model's width: 0.0002 of SmolLM2-135M); it falls to a tenth
  --heal-warmup N      steps until the peak (10, at most a tenth of all)
  --heal-mix X         share of the loss that is KL to the parent, 0 to 1; the rest is cross-entropy (1)
  --heal-hidden X      factor of the loss of the last hidden states (0)
  --heal-step N        tokens of a step (2048, less for short runs)
  --heal-rows N        windows that run at once, of which a step adds up as many as it needs (some 1024 tokens)
  --checkpoint-minutes N  minutes between checkpoints (5); the same command goes on from the last`;

/** Share of the free memory that training may take. */
const SHARE = 0.8;
const MEMORY_GB = 8;
const LEAST_RATE = 1e-9;

function trainedOf(value: string | undefined): HealOptions['trained'] {
  if (value === undefined || value === 'all' || value === 'changed') return value;
  const rank = Number(/^lora:(\d+)$/.exec(value)?.[1]);
  if (rank >= 1) return { rank };
  throw usageError(`--train is "${value}", expected all, changed or lora:RANK, as lora:16.`);
}

/**
 * What these options ask for; undefined without `--heal`.
 * @param seed of the order of the text
 */
export function healOptionsOf(
  values: { [name in keyof typeof HEAL_OPTIONS]?: string },
  seed?: number,
): HealOptions | undefined {
  const tokens = wholeNumberOf('heal', values.heal, 1, 1e9);
  const gigabytes = numberInRange('memory', values.memory, 0.001, 1e6);
  const options = {
    trained: trainedOf(values.train),
    learningRate: numberInRange('heal-lr', values['heal-lr'], LEAST_RATE, 1),
    warmUp: wholeNumberOf('heal-warmup', values['heal-warmup'], 0, 1e9),
    mix: numberInRange('heal-mix', values['heal-mix'], 0, 1),
    hidden: numberInRange('heal-hidden', values['heal-hidden'], 0, 1000),
    stepTokens: wholeNumberOf('heal-step', values['heal-step'], 1, 1e6),
    rows: wholeNumberOf('heal-rows', values['heal-rows'], 1, 1e6),
    memory: gigabytes === undefined ? Math.min(1e9 * MEMORY_GB, SHARE * freemem()) : 1e9 * gigabytes,
    checkpointMinutes: numberInRange('checkpoint-minutes', values['checkpoint-minutes'], 0, 1e9),
  };
  if (tokens !== undefined) return { tokens, seed, ...options };
  for (const [name, value] of Object.entries(values))
    if (Object.hasOwn(HEAL_OPTIONS, name) && value !== undefined)
      throw usageError(`--${name} has no meaning without --heal.`);
  return undefined;
}

import type { HealOptions } from '../convert/heal.ts';
import { numberInRange, text, usageError, wholeNumberOf } from './args.ts';

/** Options of the commands that heal. */
export const HEAL_OPTIONS = {
  heal: text,
  'heal-lr': text,
  'heal-warmup': text,
  'heal-mix': text,
  'heal-step': text,
  'checkpoint-minutes': text,
} as const;

export const HEAL_HELP = `  --heal-lr X          its peak learning rate (by the model's width: 0.0002 of SmolLM2-135M); it falls to a tenth
  --heal-warmup N      steps until the peak (10, at most a tenth of all)
  --heal-mix X         share of the loss that is KL to the parent, 0 to 1; the rest is cross-entropy (1)
  --heal-step N        tokens of a step (2048, less for short runs)
  --checkpoint-minutes N  minutes between checkpoints (5); the same command goes on from the last`;

/** What these options ask for; undefined without `--heal`. */
export function healOptionsOf(
  values: { [name in keyof typeof HEAL_OPTIONS]?: string },
  seed?: number,
): HealOptions | undefined {
  const tokens = wholeNumberOf('heal', values.heal, 1, 1e9);
  const learningRate = numberInRange('heal-lr', values['heal-lr'], 0, 1);
  if (learningRate === 0) throw usageError('--heal-lr is 0, expected a number above 0, at most 1.');
  const options = {
    learningRate,
    warmUp: wholeNumberOf('heal-warmup', values['heal-warmup'], 0, 1e9),
    mix: numberInRange('heal-mix', values['heal-mix'], 0, 1),
    stepTokens: wholeNumberOf('heal-step', values['heal-step'], 1, 1e6),
    checkpointMinutes: numberInRange('checkpoint-minutes', values['checkpoint-minutes'], 0, 1e9),
  };
  if (tokens !== undefined) return { tokens, seed, ...options };
  for (const [name, value] of Object.entries(values))
    if (Object.hasOwn(HEAL_OPTIONS, name) && value !== undefined)
      throw usageError(`--${name} has no meaning without --heal.`);
  return undefined;
}

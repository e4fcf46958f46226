import { ShishuError, throwIfAborted } from '../errors.ts';
import type { Checkpoint } from '../formats/checkpoint.ts';
import { type ModelSpec, parameterCount } from '../model/spec.ts';
import { BatchStream, type SampleSource } from '../train/batches.ts';
import { randomFrom } from '../train/random.ts';
import { run } from '../train/run.ts';
import { checkTrainable, loadTraining } from '../train/trainable.ts';
import { type CpuWeights, readWeights } from '../train/weights.ts';
import { inUsualOrder, weightsInUsualOrder } from './parent-tensors.ts';
import { countTokens, type TokenWindows } from './windows.ts';

export interface HealOptions {
  /** Tokens of text to train on. */
  tokens: number;
  /** Peak learning rate (default 0.001). */
  learningRate?: number | undefined;
  /** Share of the loss that is KL to the parent, the rest is cross-entropy (default 0.5). */
  mix?: number | undefined;
  /** Of the order of the windows (default 1). */
  seed?: number | undefined;
}

/** Gets lines of progress; where it can be counted, also how much is done. */
export type Log = (line: string, done?: number, total?: number) => void;

/** What healing did. */
export interface Healing {
  tokens: number;
  steps: number;
  /** Times that each window was trained on. */
  passes: number;
  seconds: number;
  learningRate: number;
  mix: number;
}

const LEARNING_RATE = 1e-3;
const MIX = 0.5;
/** Passes over one text; with more the child would overfit to it. */
const MOST_PASSES = 10;
/** Most steps between two lines of progress. */
const MOST_STEPS_A_LINE = 10;
/** Most tokens, and most logits, of a step. */
const STEP_TOKENS = 1024;
const STEP_LOGITS = 1 << 25;
/** Of the 4 GiB of 32-bit wasm that the trainer has; some of it is lost to fragmentation. */
const MOST_BYTES = 3.5e9;

/** Rows and tokens a row of a step. */
function shapeOf(windows: TokenWindows, vocabSize: number): { rows: number; length: number } {
  const length = windows.reduce((most, window) => Math.max(most, window.length - 1), 1);
  const tokens = Math.min(STEP_TOKENS, STEP_LOGITS / vocabSize);
  return { rows: Math.max(1, Math.floor(tokens / length)), length };
}

/**
 * Refuses what `heal` could not do, before anything is measured.
 * @throws ShishuError `unsupported` for what the trainer lacks, `bad-argument` for too short a text, `does-not-fit`
 */
export function checkHealing(parent: ModelSpec, windows: TokenWindows, { tokens }: HealOptions): void {
  checkTrainable(inUsualOrder(parent));
  const available = countTokens(windows);
  if (tokens > MOST_PASSES * available)
    throw new ShishuError(
      'bad-argument',
      `Healing with ${tokens} tokens would pass ${Math.ceil(tokens / available)} times over the ${available} tokens of text there are for it; at most ${MOST_PASSES}.`,
      {
        details: { tokens, available, most: MOST_PASSES * available },
        mend: 'Give a longer text, or fewer tokens.',
      },
    );
  const { rows, length } = shapeOf(windows, parent.vocabSize);
  // Of the child: weights, gradient and two moments, before and after a step. Of the parent: weights. Logits, and what the
  // loss computes of them.
  const bytes = 4 * (9 * parameterCount(parent) + 8 * rows * length * parent.vocabSize);
  if (bytes > MOST_BYTES)
    throw new ShishuError(
      'does-not-fit',
      `Healing this model takes about ${(bytes / 1e9).toFixed(1)} GB, the trainer has ${MOST_BYTES / 1e9}.`,
      { details: { bytes, limit: MOST_BYTES }, mend: 'Convert it without healing.' },
    );
}

/** The windows in a new order each pass, as samples; every token counts in the loss. */
function shuffled(windows: TokenWindows, seed: number): SampleSource {
  const orders: number[][] = [];
  const orderOf = (pass: number): number[] => {
    const random = randomFrom(seed + pass);
    const order = windows.map((_, i) => i);
    for (let i = order.length - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    return order;
  };
  return (index) => {
    const pass = Math.floor(index / windows.length);
    orders[pass] ??= orderOf(pass);
    const ids = [...windows[orders[pass][index % windows.length]!]!];
    return { ids, weights: ids.map(() => 1) };
  };
}

/**
 * Distils a child to its parent: KL to the parent's logits and cross-entropy, on the CPU (jax-js on wasm). Every weight of the
 * child is trained, linear maps too. Needs the package @jax-js/jax.
 * @param windows of text, not those that the result is measured on
 * @returns the child's weights, float32
 * @throws ShishuError `unsupported`, `bad-argument`, `does-not-fit`, `aborted`
 */
export async function heal(
  parent: { spec: ModelSpec; checkpoint: Checkpoint },
  child: { spec: ModelSpec; checkpoint: Checkpoint },
  windows: TokenWindows,
  options: HealOptions & { log?: Log | undefined; signal?: AbortSignal | undefined },
): Promise<{ weights: CpuWeights; healing: Healing }> {
  const { learningRate = LEARNING_RATE, mix = MIX, seed = 1, log = () => {}, signal } = options;
  checkHealing(parent.spec, windows, options);
  const { startJax, JaxTrainer } = await loadTraining(() => import('../train/jax-trainer.ts'));
  await startJax();
  throwIfAborted(signal);
  const shape = shapeOf(windows, parent.spec.vocabSize);
  const steps = Math.max(1, Math.round(options.tokens / (shape.rows * (shape.length + 1))));
  log(`healing: preparing ${steps} steps`);
  const parentWeights = weightsInUsualOrder(await readWeights(parent.checkpoint, parent.spec), parent.spec);
  const trainer = new JaxTrainer(
    child.spec,
    { weights: await readWeights(child.checkpoint, child.spec) },
    {
      schedule: { steps, learningRate, warmUp: Math.min(20, Math.ceil(steps / 10)) },
      length: shape.length,
      teacher: { spec: inUsualOrder(parent.spec), weights: parentWeights, mix },
    },
  );
  try {
    const pad = parent.spec.eosTokenIds[0] ?? 0;
    const { tokens, seconds } = await run([{ name: 'child', trainer, curve: [] }], {
      steps,
      every: Math.min(MOST_STEPS_A_LINE, Math.ceil(steps / 20)),
      stream: new BatchStream(shuffled(windows, seed), { ...shape, pad }),
      ...(signal && { signal }),
      onProgress: ({ step, points, tokensPerSecond, secondsLeft }) =>
        log(
          `healing: step ${step} of ${steps}, loss ${points[0]!.loss.toFixed(4)}, ` +
            `${tokensPerSecond.toFixed(0)} tokens/s, ${secondsLeft.toFixed(0)} s left`,
          step,
          steps,
        ),
    });
    throwIfAborted(signal);
    const passes = tokens / countTokens(windows);
    return {
      weights: await trainer.weights(),
      healing: { tokens, steps, passes, seconds, learningRate, mix },
    };
  } finally {
    trainer.dispose();
  }
}

import { ShishuError, throwIfAborted } from '../errors.ts';
import type { Checkpoint } from '../formats/checkpoint.ts';
import { type ModelSpec, parameterCount } from '../model/spec.ts';
import { type BatchShape, BatchStream, type SampleSource } from '../train/batches.ts';
import type { CurvePoint } from '../train/run.ts';
import { checkTrainable, loadTraining } from '../train/trainable.ts';
import { type CpuWeights, readWeights } from '../train/weights.ts';
import { type HealingRun, type Log, runHealing } from './healing-run.ts';
import { checkMixture, mixed, passesOver } from './mixture.ts';
import { inUsualOrder, weightsInOwnOrder, weightsInUsualOrder } from './parent-tensors.ts';
import type { TokenWindows, Windows } from './windows.ts';

export interface HealOptions {
  /** Tokens of text to train on. */
  tokens: number;
  /** Peak learning rate (default: 0.0002 of a model as wide as SmolLM2-135M, more of narrower ones, less of wider). */
  learningRate?: number | undefined;
  /** Steps in which the rate grows to its peak (default 10, at most a tenth of all). */
  warmUp?: number | undefined;
  /** Share of the loss that is KL to the parent, the rest is cross-entropy (default 1). */
  mix?: number | undefined;
  /** Tokens of a step (default 2048; a 32nd of all where that is less). */
  stepTokens?: number | undefined;
  /** Minutes between two checkpoints, where there is a place for them (default 5). */
  checkpointMinutes?: number | undefined;
  /** Of the order of the windows (default 1). */
  seed?: number | undefined;
}

/** What healing did. */
export interface Healing {
  tokens: number;
  steps: number;
  /** Times that each window was trained on; of several texts, of the one that was passed over most. */
  passes: number;
  seconds: number;
  learningRate: number;
  mix: number;
  /** The loss, and that of held-out text (cross-entropy) where it was measured. */
  curve: CurvePoint[];
  /** How often a loss was not finite, and a step was taken back. */
  halvings: number;
  /** Why it ended before its last step. */
  stopped?: string;
}

/** What healing needs of a text; nothing is trained on what blocks are chosen by: its loss is along the curve. */
export type HealingText = Pick<Windows, 'healing' | 'choosing'>;

const MIX = 1;
const WARM_UP = 10;
/** Of a model with so many hidden units; the rate that suits a model is about inverse to their number. */
const LEARNING_RATE = { rate: 2e-4, hidden: 576, most: 2e-3 };
const STEP_TOKENS = 2048;
/** Steps of a run, at least, unless the tokens of a step are given. */
const LEAST_STEPS = 32;
/** Tokens of held-out text whose loss is measured along the curve. */
const HELD_OUT_TOKENS = 2048;
const CHECKPOINT_MINUTES = 5;
/** Longest rows: a window is one. */
const MOST_LENGTH = 512;
/** Most logits of a step. */
const STEP_LOGITS = 1 << 25;
/** Of the 4 GiB of 32-bit wasm that the trainer has; some of it is lost to fragmentation. */
const MOST_BYTES = 3.5e9;

export const learningRateFor = ({ hiddenSize }: Pick<ModelSpec, 'hiddenSize'>): number =>
  Math.min(
    LEARNING_RATE.most,
    Number(((LEARNING_RATE.rate * LEARNING_RATE.hidden) / hiddenSize).toPrecision(2)),
  );

/** Rows and tokens a row of a step. */
function shapeOf(
  { healing }: HealingText,
  vocabSize: number,
  { tokens, stepTokens = Math.min(STEP_TOKENS, tokens / LEAST_STEPS) }: HealOptions,
): { rows: number; length: number } {
  const length = healing
    .flatMap(({ windows }) => windows)
    .reduce((most, window) => Math.max(most, window.length - 1), 1);
  return {
    rows: Math.max(1, Math.floor(Math.min(stepTokens, STEP_LOGITS / vocabSize) / length)),
    length,
  };
}

/**
 * Refuses what `heal` could not do, before anything is measured.
 * @throws ShishuError `unsupported` for what the trainer lacks, `bad-argument` for too short a text, `does-not-fit`
 */
export function checkHealing(parent: ModelSpec, text: HealingText, options: HealOptions): void {
  checkTrainable(inUsualOrder(parent));
  checkMixture(text.healing, options.tokens);
  const { rows, length } = shapeOf(text, parent.vocabSize, options);
  if (length > MOST_LENGTH)
    throw new ShishuError(
      'bad-argument',
      `Healing takes windows of at most ${MOST_LENGTH} tokens, not ${length}.`,
      {
        details: { length, limit: MOST_LENGTH },
        mend: 'Give shorter windows.',
      },
    );
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

/** Windows in their order, again and again. */
const inOrder =
  (windows: TokenWindows): SampleSource =>
  (index) => {
    const ids = [...windows[index % windows.length]!];
    return { ids, weights: ids.map(() => 1) };
  };

function heldOutOf(windows: TokenWindows, shape: BatchShape) {
  if (windows.length === 0) return [];
  const stream = new BatchStream(inOrder(windows), shape);
  const tokens = Math.min(
    HELD_OUT_TOKENS,
    windows.reduce((sum, { length }) => sum + length, 0),
  );
  return Array.from({ length: Math.ceil(tokens / (shape.rows * shape.length)) }, () => stream.next());
}

/**
 * Distils a child to its parent: KL to the parent's logits, on the CPU (jax-js on wasm). Every weight of the child is trained,
 * linear maps too. Needs the package @jax-js/jax.
 * @param text none of which the result is measured on
 * @param options `store`: where checkpoints are kept, from which the next call goes on
 * @returns the child's weights, float32
 * @throws ShishuError `unsupported`, `bad-argument`, `does-not-fit`, `aborted`
 */
export async function heal(
  parent: { spec: ModelSpec; checkpoint: Checkpoint },
  child: { spec: ModelSpec; checkpoint: Checkpoint },
  text: HealingText,
  options: HealOptions & {
    store?: HealingRun['store'] | undefined;
    log?: Log | undefined;
    signal?: AbortSignal | undefined;
  },
): Promise<{ weights: CpuWeights; healing: Healing }> {
  const { tokens, mix = MIX, seed = 1, log = () => {}, signal, store } = options;
  const learningRate = options.learningRate ?? learningRateFor(parent.spec);
  checkHealing(parent.spec, text, options);
  const { startJax, Trainer } = await loadTraining(() => import('../train/trainer.ts'));
  await startJax();
  throwIfAborted(signal);
  const shape = { ...shapeOf(text, parent.spec.vocabSize, options), pad: parent.spec.eosTokenIds[0] ?? 0 };
  const steps = Math.max(1, Math.round(tokens / (shape.rows * (shape.length + 1))));
  log(`healing: preparing ${steps} steps`, 0, steps);
  const warmUp = options.warmUp ?? Math.min(WARM_UP, Math.ceil(steps / 10));
  const teacher = {
    spec: inUsualOrder(parent.spec),
    weights: weightsInUsualOrder(await readWeights(parent.checkpoint, parent.spec), parent.spec),
    mix,
  };
  const source = mixed(text.healing, seed);
  const { weights, state } = await runHealing({
    steps,
    learningRate,
    begin: async () => ({
      weights: weightsInUsualOrder(await readWeights(child.checkpoint, child.spec), child.spec),
    }),
    make: async (start, learningRate) =>
      new Trainer(inUsualOrder(child.spec), start, {
        schedule: { steps, learningRate, warmUp },
        length: shape.length,
        teacher,
      }),
    stream: (state) => new BatchStream(source, shape, state),
    heldOut: heldOutOf(text.choosing, shape),
    minutes: options.checkpointMinutes ?? CHECKPOINT_MINUTES,
    store: store ?? { read: async () => undefined, write: async () => {} },
    log,
    signal,
  });
  const { seconds, curve, halvings, stopped } = state;
  return {
    weights: weightsInOwnOrder(weights, child.spec),
    healing: {
      tokens: state.tokens,
      steps: curve.at(-1)?.step ?? 0,
      passes: passesOver(text.healing, state.tokens),
      seconds,
      learningRate,
      mix,
      curve,
      halvings,
      ...(stopped !== undefined && { stopped }),
    },
  };
}

import { ShishuError, throwIfAborted } from '../errors.ts';
import type { Checkpoint } from '../formats/checkpoint.ts';
import type { Gpu } from '../gpu/device.ts';
import type { ModelSpec } from '../model/spec.ts';
import { type Batch, type BatchShape, BatchStream, type SampleSource } from '../train/batches.ts';
import type { CurvePoint } from '../train/run.ts';
import type { Start } from '../train/trainer.ts';
import { type CpuWeights, readWeights } from '../train/weights.ts';
import {
  checkHealing,
  type HealingText,
  type HealOptions,
  type HealPlan,
  lessMemoryText,
  memoryText,
  planHealing,
  trainedText,
} from './heal-plan.ts';
import {
  type HealingRun,
  type HealingStore,
  type HealingTrainer,
  type Log,
  runHealing,
} from './healing-run.ts';
import { mixed, passesOver } from './mixture.ts';
import { inUsualOrder, weightsInOwnOrder, weightsInUsualOrder } from './parent-tensors.ts';
import { countTokens, type TokenWindows } from './windows.ts';

/** What healing did. */
export interface Healing {
  tokens: number;
  steps: number;
  /** Times that each window was trained on; of several texts, of the one that was passed over most. */
  passes: number;
  seconds: number;
  learningRate: number;
  mix: number;
  hidden: number;
  plan: HealPlan;
  /** The loss, and that of held-out text (cross-entropy) where it was measured. */
  curve: CurvePoint[];
  /** How often a loss was not finite, and a step was taken back. */
  halvings: number;
  /** Why it ended before its last step. */
  stopped?: string;
}

const MIX = 1;
const WARM_UP = 10;
/** Of a model with so many hidden units; the rate that suits a model is about inverse to their number. */
const LEARNING_RATE = { rate: 2e-4, hidden: 576, most: 2e-3 };
/** Tokens of held-out text whose loss is measured along the curve. */
const HELD_OUT_TOKENS = 2048;
const CHECKPOINT_MINUTES = 5;

export const learningRateFor = ({ hiddenSize }: Pick<ModelSpec, 'hiddenSize'>): number =>
  Math.min(
    LEARNING_RATE.most,
    Number(((LEARNING_RATE.rate * LEARNING_RATE.hidden) / hiddenSize).toPrecision(2)),
  );

/** Windows in their order, again and again. */
const inOrder =
  (windows: TokenWindows): SampleSource =>
  (index) => {
    const ids = [...windows[index % windows.length]!];
    return { ids, weights: ids.map(() => 1) };
  };

function heldOutOf(windows: TokenWindows, shape: BatchShape): Batch[] {
  if (windows.length === 0) return [];
  const stream = new BatchStream(inOrder(windows), shape);
  const tokens = Math.min(HELD_OUT_TOKENS, countTokens(windows));
  return Array.from({ length: Math.ceil(tokens / (shape.rows * shape.length)) }, () => stream.next());
}

interface Model {
  spec: ModelSpec;
  checkpoint: Checkpoint;
}

const weightsOf = async ({ spec, checkpoint }: Model): Promise<CpuWeights> =>
  weightsInUsualOrder(await readWeights(checkpoint, spec), spec);

/**
 * Distils a child to its parent on the GPU: KL to the parent's logits over the whole vocabulary, AdamW, warm-up and a cosine to a
 * tenth of the rate.
 * @param text none of which the result is measured on
 * @param options `plan`: as an earlier call had it; `store`: where checkpoints are kept, from which the next call goes on
 * @returns the child's weights, float32
 * @throws ShishuError `unsupported`, `bad-argument`, `does-not-fit`, `out-of-memory` (with what takes less), `aborted`
 */
export async function heal(
  gpu: Gpu,
  parent: Model,
  child: Model,
  text: HealingText,
  options: HealOptions & {
    plan?: HealPlan | undefined;
    store?: HealingStore | undefined;
    onCurve?: HealingRun['onCurve'];
    log?: Log | undefined;
    signal?: AbortSignal | undefined;
  },
): Promise<{ weights: CpuWeights; healing: Healing }> {
  const { mix = MIX, hidden = 0, seed = 1, log = () => {}, signal, store } = options;
  const learningRate = options.learningRate ?? learningRateFor(parent.spec);
  checkHealing(parent.spec, text, options);
  const plan = options.plan ?? planHealing(parent.spec, child.spec, text, options);
  const { steps, rows, length, accumulate, trained, lowest } = plan;
  log(
    `healing: ${steps} steps of ${rows * accumulate} windows of ${length} tokens, ${rows} at once; trained: ${trainedText(trained)}, ` +
      `in ${memoryText(plan.bytes)} of GPU memory`,
    0,
    steps,
  );
  const warmUp = options.warmUp ?? Math.min(WARM_UP, Math.ceil(steps / 10));
  const { Trainer } = await import('../train/trainer.ts');
  const teacher = { spec: inUsualOrder(parent.spec), weights: await weightsOf(parent), mix, hidden };
  const spec = inUsualOrder(child.spec);
  const make = async (start: Start, learningRate: number): Promise<HealingTrainer> => {
    throwIfAborted(signal);
    const schedule = { steps, learningRate, warmUp };
    const sizes = { rows, length, accumulate, trained, lowest };
    try {
      return await Trainer.create(gpu, spec, start, { schedule, ...sizes, teacher });
    } catch (cause) {
      if (!(cause instanceof ShishuError) || !/^(out-of-memory|does-not-fit)$/.test(cause.code)) throw cause;
      throw new ShishuError(cause.code, `Healing found no ${memoryText(plan.bytes)} of memory on the GPU.`, {
        details: { ...cause.details, bytes: plan.bytes },
        mend: lessMemoryText(parent.spec, child.spec, text, options, plan),
        cause,
      });
    }
  };
  const shape = { rows: rows * accumulate, length, pad: parent.spec.eosTokenIds[0] ?? 0 };
  const source = mixed(text.healing, seed);
  const { weights, state } = await runHealing({
    steps,
    learningRate,
    begin: async () => ({ weights: await weightsOf(child) }),
    make,
    stream: (state) => new BatchStream(source, shape, state),
    heldOut: heldOutOf(text.choosing, shape),
    minutes: options.checkpointMinutes ?? CHECKPOINT_MINUTES,
    store,
    onCurve: options.onCurve,
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
      hidden,
      plan,
      curve,
      halvings,
      ...(stopped !== undefined && { stopped }),
    },
  };
}

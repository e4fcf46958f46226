import type { Batch, BatchStream, StreamState } from './batches.ts';
import type { Trainer } from './trainer.ts';

/** A point of a loss curve. */
export interface CurvePoint {
  step: number;
  /** Tokens of text trained on so far (padding is not counted). */
  tokens: number;
  /** Mean training loss since the point before, nats a token (weighted as in training). */
  loss: number;
  /** The same loss on held-out chats, where it was measured. */
  heldOut?: number;
}

/** One of the models that are trained side by side. */
export interface TrainingModel {
  name: string;
  trainer: Pick<Trainer, 'step' | 'train' | 'loss' | 'weights' | 'snapshot' | 'dispose'>;
  curve: CurvePoint[];
}

/** The state of a run besides its trainers: plain data, stored in checkpoints. */
export interface RunState {
  stream: StreamState;
  tokens: number;
  /** Seconds of training. */
  seconds: number;
  /** Summed losses of each model, and the steps summed (`taken`), since the last point of the curve. */
  sums: number[];
  taken: number;
}

export interface RunProgress extends RunState {
  step: number;
  steps: number;
  /** Latest curve point of each model, in order. */
  points: CurvePoint[];
  /** Mean milliseconds of a step of each model, in order, since the progress before. */
  stepMs: number[];
  tokensPerSecond: number;
  secondsLeft: number;
}

export interface RunOptions {
  steps: number;
  stream: BatchStream;
  /** The state that an earlier run stopped in; the stream must be in it already. */
  from?: RunState;
  /** Steps between two points of the curve (default 20). */
  every?: number;
  /** Held-out batches; measured at every fifth point and at the end. */
  heldOut?: readonly Batch[];
  onProgress?: (progress: RunProgress) => void | Promise<void>;
  signal?: AbortSignal;
}

/**
 * Trains models side by side: each batch goes through all of them, so that they have always seen the same tokens
 * in the same order. Stops at `steps`, or after the step in which the signal is raised.
 */
export async function run(models: readonly TrainingModel[], options: RunOptions): Promise<RunState> {
  const { steps, stream, every = 20, heldOut = [], onProgress, signal, from } = options;
  const state = { tokens: 0, seconds: 0, taken: 0, ...from, sums: from?.sums ?? models.map(() => 0) };
  let stepTimes = models.map(() => 0);
  let previous = { step: models[0]!.trainer.step, tokens: state.tokens, seconds: state.seconds };
  for (let step = models[0]!.trainer.step + 1; step <= steps && !signal?.aborted; step++) {
    const start = performance.now();
    const batch = stream.next();
    state.tokens += batch.count;
    for (const [i, { trainer }] of models.entries()) {
      const from = performance.now();
      state.sums[i]! += (await trainer.train(batch)).loss;
      stepTimes[i]! += performance.now() - from;
    }
    state.taken++;
    // Lets the event loop handle signals and clicks.
    await new Promise((resume) => setTimeout(resume));
    state.seconds += (performance.now() - start) / 1000;
    if (step % every !== 0 && step !== steps) continue;
    const evaluates = step % (5 * every) === 0 || step === steps;
    for (const [i, { trainer, curve }] of models.entries()) {
      const point: CurvePoint = { step, tokens: state.tokens, loss: state.sums[i]! / state.taken };
      if (evaluates && heldOut.length > 0) {
        let sum = 0;
        for (const held of heldOut) sum += await trainer.loss(held);
        point.heldOut = sum / heldOut.length;
      }
      curve.push(point);
    }
    const stepMs = stepTimes.map((ms) => ms / (step - previous.step));
    stepTimes = models.map(() => 0);
    state.sums = models.map(() => 0);
    state.taken = 0;
    const tokensPerSecond = (state.tokens - previous.tokens) / (state.seconds - previous.seconds);
    previous = { step, tokens: state.tokens, seconds: state.seconds };
    await onProgress?.({
      ...state,
      step,
      steps,
      stream: stream.state,
      points: models.map(({ curve }) => curve.at(-1)!),
      stepMs,
      tokensPerSecond,
      secondsLeft: ((steps - step) * (state.tokens / step)) / tokensPerSecond,
    });
  }
  return { ...state, stream: stream.state };
}

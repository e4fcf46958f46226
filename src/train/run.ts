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

/** One model of a run. */
export interface Runner {
  name: string;
  trainer: Trainer;
  curve: CurvePoint[];
}

/** Where a run stands, besides its trainers: plain data, kept in checkpoints. */
export interface RunState {
  stream: StreamState;
  tokens: number;
  /** Seconds of training. */
  seconds: number;
}

export interface RunProgress extends RunState {
  step: number;
  steps: number;
  /** Latest curve point of each model, in order. */
  points: CurvePoint[];
  tokensPerSecond: number;
  secondsLeft: number;
}

export interface RunOptions {
  steps: number;
  stream: BatchStream;
  /** What an earlier run did. */
  tokens?: number;
  seconds?: number;
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
export async function run(runners: readonly Runner[], options: RunOptions): Promise<RunState> {
  const { steps, stream, every = 20, heldOut = [], onProgress, signal } = options;
  let tokens = options.tokens ?? 0;
  let seconds = options.seconds ?? 0;
  const sums = runners.map(() => 0);
  let taken = 0;
  let mark = { tokens, seconds };
  for (let step = runners[0]!.trainer.step + 1; step <= steps && !signal?.aborted; step++) {
    const start = performance.now();
    const batch = stream.next();
    tokens += batch.count;
    for (const [i, { trainer }] of runners.entries()) sums[i]! += (await trainer.train(batch)).loss;
    taken++;
    seconds += (performance.now() - start) / 1000;
    if (step % every !== 0 && step !== steps) continue;
    const measure = step % (5 * every) === 0 || step === steps;
    for (const [i, { trainer, curve }] of runners.entries()) {
      const point: CurvePoint = { step, tokens, loss: sums[i]! / taken };
      if (measure && heldOut.length > 0) {
        let sum = 0;
        for (const held of heldOut) sum += await trainer.loss(held);
        point.heldOut = sum / heldOut.length;
      }
      curve.push(point);
      sums[i] = 0;
    }
    taken = 0;
    const speed = (tokens - mark.tokens) / (seconds - mark.seconds);
    await onProgress?.({
      step,
      steps,
      tokens,
      seconds,
      stream: stream.state,
      points: runners.map(({ curve }) => curve.at(-1)!),
      tokensPerSecond: speed,
      secondsLeft: ((steps - step) * (tokens / step)) / speed,
    });
    mark = { tokens, seconds };
  }
  return { stream: stream.state, tokens, seconds };
}

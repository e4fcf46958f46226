import { abortedError } from '../errors.ts';
import type { Batch, BatchStream, StreamState } from '../train/batches.ts';
import type { CurvePoint } from '../train/run.ts';
import type { Snapshot, Start, StepResult } from '../train/trainer.ts';
import type { CpuWeights } from '../train/weights.ts';

/** What healing needs of a trainer. */
export interface HealingTrainer {
  /** Steps done. */
  readonly step: number;
  train(batch: Batch): Promise<Pick<StepResult, 'loss' | 'norm'>>;
  /** Cross-entropy of a batch, nats. */
  loss(batch: Batch): Promise<number>;
  weights(): Promise<CpuWeights>;
  snapshot(): Promise<Snapshot>;
  dispose(): void;
}

/** Where a run is, beside the trainer's snapshot: plain data. */
export interface HealingState {
  stream: StreamState;
  /** Tokens of text trained on. */
  tokens: number;
  /** Seconds of training. */
  seconds: number;
  curve: CurvePoint[];
  /** Summed losses, and steps summed, since the last point of the curve. */
  sum: number;
  taken: number;
  /** How often a loss was not finite; each time the learning rate is halved. */
  halvings: number;
  /** Why the run ended before its last step. */
  stopped?: string;
}

/** A run's state with its weights and moments. */
export interface KeptHealing {
  snapshot: Snapshot;
  state: HealingState;
}

/** Gets lines of progress; where it can be counted, also how much is done. */
export type Log = (line: string, done?: number, total?: number) => void;

export interface HealingStore {
  /** The last checkpoint. */
  read(): Promise<KeptHealing | undefined>;
  write(kept: KeptHealing): Promise<void>;
}

export interface HealingRun {
  steps: number;
  learningRate: number;
  /** The child as it begins. */
  begin(): Promise<Start>;
  make(start: Start, learningRate: number): Promise<HealingTrainer>;
  stream(state: StreamState | undefined): BatchStream;
  /** Batches that are never trained on; their loss is measured along the curve. */
  heldOut: readonly Batch[];
  /** Minutes between two checkpoints. */
  minutes: number;
  /** Where checkpoints are kept; without it, there are none. */
  store?: HealingStore | undefined;
  /** Gets the curve when it has one more point, and as an earlier run left it. */
  onCurve?: ((curve: readonly CurvePoint[]) => void) | undefined;
  log: Log;
  signal?: AbortSignal | undefined;
}

/** Losses that are not finite after which a run ends with the last weights that were good. */
const MOST_HALVINGS = 3;
/** Points of a curve, at most, and how many of them have the held-out loss. */
const POINTS = 200;
const HELD_OUT_POINTS = 20;
const LINE_MS = 1000;

const freshState = (): HealingState => ({
  stream: { next: 0, pool: [] },
  tokens: 0,
  seconds: 0,
  curve: [],
  sum: 0,
  taken: 0,
  halvings: 0,
});

const tensorsOf = (snapshot: Snapshot): CpuWeights[] =>
  Object.values(snapshot).filter((set): set is CpuWeights => typeof set === 'object' && set !== null);

const isGood = (snapshot: Snapshot): boolean =>
  tensorsOf(snapshot).every((set) =>
    Object.values(set).every(({ data }) => {
      // A sum is finite where all of its terms are, but for an overflow, which f64 does not meet here.
      let sum = 0;
      for (const value of data) sum += value;
      return Number.isFinite(sum);
    }),
  );

const timeText = (seconds: number): string =>
  seconds < 600 ? `${seconds.toFixed(0)} s` : `${(seconds / 60).toFixed(0)} min`;

/**
 * Trains a child for `steps` steps, or from the last checkpoint on, with the very batches of a run that was never stopped. A loss that
 * is not finite takes back what was done since the last checkpoint, and halves the learning rate.
 * @throws ShishuError `aborted`, behind the step in which the signal was raised and with a checkpoint of it; what the trainer and
 * the store throw: the last checkpoint stays
 */
export async function runHealing(run: HealingRun): Promise<{ weights: CpuWeights; state: HealingState }> {
  const { log, store, learningRate } = run;
  const from = await store?.read();
  let state = from?.state ?? freshState();
  let start: Start | undefined = from?.snapshot ?? (await run.begin());
  if (from) run.onCurve?.(from.state.curve);
  if (from) log(`healing: going on behind step ${from.snapshot.step} of ${run.steps}`);
  for (;;) {
    const trainer = await run.make(start, learningRate / 2 ** state.halvings);
    // As large as the model three times.
    start = undefined;
    try {
      const failed = await trainSteps(trainer, state, run);
      if (failed === undefined) return { weights: await trainer.weights(), state };
      const halvings = state.halvings + 1;
      // Its weights are those of a step that went too far: what was kept is from before.
      const good = (await store?.read()) ?? { snapshot: await run.begin(), state: freshState() };
      const step = good.snapshot.step ?? 0;
      state = { ...good.state, halvings };
      if (halvings > MOST_HALVINGS)
        state.stopped = `the loss was not finite for the ${halvings}th time; the child is that of step ${step}`;
      log(
        state.stopped === undefined
          ? `healing: the loss of step ${failed} is not finite: back to step ${step}, with half the learning rate`
          : `healing: ${state.stopped}`,
      );
      start = good.snapshot;
    } finally {
      trainer.dispose();
    }
  }
}

/**
 * Trains to the last step, with checkpoints.
 * @param state is brought up to date step by step
 * @returns the step whose loss was not finite; undefined when all steps are done
 */
async function trainSteps(
  trainer: HealingTrainer,
  state: HealingState,
  run: HealingRun,
): Promise<number | undefined> {
  const { steps, heldOut, store, log, signal, minutes } = run;
  const stream = run.stream(state.taken > 0 || state.tokens > 0 ? state.stream : undefined);
  const every = Math.ceil(steps / POINTS);
  const measureEvery = every * Math.ceil(steps / (every * HELD_OUT_POINTS));
  const first = { tokens: state.tokens, seconds: state.seconds };
  let said = Number.NEGATIVE_INFINITY;
  let written = performance.now();
  if (state.stopped !== undefined) return undefined;
  while (trainer.step < steps) {
    const begun = performance.now();
    const next = trainer.step + 1;
    const batch = stream.next();
    const { loss, norm } = await trainer.train(batch);
    if (!Number.isFinite(loss) || !Number.isFinite(norm)) return next;
    const { step } = trainer;
    state.tokens += batch.count;
    state.sum += loss;
    state.taken++;
    state.stream = stream.state;
    state.seconds += (performance.now() - begun) / 1000;
    const ends = step === steps;
    if (step % every === 0 || ends) {
      const point: CurvePoint = { step, tokens: state.tokens, loss: state.sum / state.taken };
      if (heldOut.length > 0 && (step % measureEvery === 0 || ends))
        point.heldOut = await meanLoss(trainer, heldOut);
      state.curve.push(point);
      run.onCurve?.(state.curve);
      state.sum = 0;
      state.taken = 0;
    }
    const now = performance.now();
    if (now - said >= LINE_MS || ends) {
      const speed = (state.tokens - first.tokens) / (state.seconds - first.seconds);
      const left = ((steps - step) * (state.tokens / step)) / speed;
      const measured = state.curve.findLast(({ heldOut }) => heldOut !== undefined)?.heldOut;
      log(
        `healing: step ${step} of ${steps}, loss ${loss.toFixed(4)}, ${speed.toFixed(speed < 10 ? 1 : 0)} tokens/s, ${timeText(left)} left` +
          (measured === undefined ? '' : `, held out ${measured.toFixed(4)}`),
        step,
        steps,
      );
      said = now;
    }
    // Lets the event loop hear of signals and clicks.
    await new Promise((resume) => setTimeout(resume));
    const stops = signal?.aborted === true && !ends;
    // The last one too: what comes behind a run may fail.
    if (store && (stops || ends || now - written >= 60_000 * minutes)) {
      const snapshot = await trainer.snapshot();
      // A step that went too far shows in the loss of the next.
      if (!isGood(snapshot) || !Number.isFinite(await meanLoss(trainer, heldOut))) return step;
      await store.write({ snapshot, state });
      written = performance.now();
    }
    if (stops) throw abortedError(signal.reason);
  }
  return undefined;
}

async function meanLoss(trainer: HealingTrainer, batches: readonly Batch[]): Promise<number> {
  let sum = 0;
  for (const batch of batches) sum += await trainer.loss(batch);
  return batches.length === 0 ? 0 : sum / batches.length;
}

import { Ledger, readBuffer, watchErrors } from '../gpu/buffer.ts';
import { PipelineError } from '../gpu/pipeline.ts';
import { type Dispatch, encode, type StepShape, writeStep } from '../gpu/recorder.ts';
import { type Stopwatch, stopwatchOf } from '../gpu/stopwatch.ts';
import { tunedOf, variantText } from '../kernels/fallbacks.ts';
import { stride } from '../kernels/tensor.ts';
import { type TunedKernels, type Tuning, VARIANTS, type Width } from '../kernels/tuning.ts';
import { type ForwardParts, ROW_BYTES, recordBlocks, recordHead } from '../model/forward.ts';
import type { Plan } from '../model/spec.ts';
import type { LeftOut } from './types.ts';

/** Milliseconds of work after which nothing further is begun. */
const BUDGET_MS = 2000;
/** Samples of a variant, of which the best counts. */
const SAMPLES = 3;
/** Most runs of a sample: blocks that take less are too small to tell. */
const MOST_RUNS = 4096;
/** Most rows of the prompt that is timed, and rows of a batch. */
const PROMPT_ROWS = 128;
const FEW_ROWS = 4;
/** How much faster a variant has to be, so that noise does not choose. */
const BETTER = 0.95;
/** Logits may differ by this part of the largest; sums in another order differ by less. */
const TOLERANCE = 1e-3;

/** Rows of x that a choice is timed with. */
const TIMED_WITH: Record<keyof TunedKernels, Width> = {
  wide: 'many',
  wideAttention: 'many',
  matvec: 'one',
  attention: 'one',
};

/** Runs what uses a model's buffers and a sequence of its KV cache, which it may write over, while nothing else does. */
export type Turn = <T>(run: (sequence: number) => Promise<T>) => Promise<T>;

export interface TuneOptions {
  /** Milliseconds, of what is done in turns. */
  budgetMs?: number;
  signal?: AbortSignal | undefined;
  turn?: Turn;
  stopwatch?: Stopwatch | undefined;
}

/** What was found. */
export interface Tuned {
  /** The fastest. */
  tuning: TunedKernels;
  /** Variants that are wrong here. */
  leftOut: LeftOut[];
}

/** Whether logits are those of the kernels that are known to be right. */
function same(found: Float32Array, expected: Float32Array): boolean {
  const spread = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-30);
  return found.every((value, i) => Math.abs(value - expected[i]!) <= TOLERANCE * spread);
}

/** Rows of one kind that a tuning is tried with, and the launches for them. */
interface Phase {
  width: Width;
  step: StepShape;
  list: readonly Dispatch[];
}

/**
 * Times variants of the kernels on one block of each kind and the head of a model whose weights are on the GPU: a chunk of a
 * prompt first, then decoding. A variant that fails, or whose logits are not those of the ones before, is passed over. A turn
 * lasts no longer than a sample, or one run of each of two variants; so that whoever comes in between waits for that alone.
 * @returns the fastest found when the time is over; undefined where no clock is fine enough
 */
export async function tune(
  parts: ForwardParts,
  plan: Plan,
  { budgetMs = BUDGET_MS, signal, turn = (run) => run(0), stopwatch }: TuneOptions = {},
): Promise<Tuned | undefined> {
  const { gpu, scratch, spec, kv } = parts;
  const { device } = gpu;
  const clock = stopwatch ?? (await turn(() => stopwatchOf(gpu)));
  if (!clock) return undefined;
  const ledger = new Ledger(gpu);
  const blocks = [...new Map(plan.map((block) => [block.kind, block])).values()];
  const promptRows = Math.min(scratch.rows, kv.context, PROMPT_ROWS);
  const at = Math.min(promptRows, kv.context - 1);
  const few = Math.min(FEW_ROWS, promptRows, kv.context - at, scratch.logitRows);
  const counts: Partial<Record<Width, number>> = { many: promptRows, few, one: 1 };
  const widths: Width[] = promptRows >= parts.tuning.wideFrom ? ['many', 'few', 'one'] : ['few', 'one'];
  const rows = ledger.storage('tuning rows', ROW_BYTES * promptRows, 'scratch');
  let spent = 0;
  const counted = async <T>(run: () => Promise<T>): Promise<T> => {
    const begun = performance.now();
    try {
      return await run();
    } finally {
      spent += performance.now() - begun;
    }
  };
  const inTurn: Turn = (run) => turn((sequence) => counted(() => run(sequence)));

  const record = async (tuning: Tuning, width: Width): Promise<Phase> => {
    const count = counts[width]!;
    const own = { ...parts, tuning };
    const [body, head] = await Promise.all([
      recordBlocks(own, blocks, rows, width),
      recordHead(own, width === 'few' ? 'few' : 'one'),
    ]);
    const wanted = width === 'few' ? count : 1;
    const context = width === 'many' ? count : at + count;
    const step = { rows: count, first: count - wanted, count: wanted, next: 0, context };
    return { width, step, list: [...body, ...head] };
  };
  /** All numbers of rows that kernels are made for. */
  const phasesOf = (tuning: Tuning): Promise<Phase[]> =>
    counted(() => Promise.all(widths.map((width) => record(tuning, width))));
  /** Writes what a phase reads besides weights. */
  const begin = ({ width, step }: Phase, sequence: number): void => {
    const from = width === 'many' ? 0 : at;
    const words = Array.from({ length: step.rows }, (_, r) => [
      (r * 7919) % spec.vocabSize,
      sequence,
      from + r,
      0,
    ]);
    device.queue.writeBuffer(rows, 0, Uint32Array.from(words.flat()));
    writeStep(gpu, scratch.step, step);
  };
  /** Runs a phase once: the logits of its last rows. */
  const logitsOf = async (phase: Phase, sequence: number): Promise<Float32Array> => {
    const end = watchErrors(gpu, 'a variant of the kernels');
    begin(phase, sequence);
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    encode(pass, phase.list, phase.step);
    pass.end();
    device.queue.submit([encoder.finish()]);
    const told = end();
    const bytes = 4 * ((phase.step.count - 1) * stride(spec.vocabSize) + spec.vocabSize);
    const logits = await readBuffer(gpu, scratch.logits.buffer, 0, bytes);
    await told;
    return new Float32Array(logits);
  };
  /** Whether a tuning's logits are those of the best. */
  const agrees = (tried: readonly Phase[], known: readonly Phase[]): Promise<boolean> =>
    inTurn(async (sequence) => {
      // What one token attends to is what the prompt wrote.
      for (const [i, phase] of known.entries()) {
        const expected = await logitsOf(phase, sequence);
        if (!same(await logitsOf(tried[i]!, sequence), expected)) return false;
      }
      return true;
    });
  /** Milliseconds of one run; undefined where it is over too soon to be timed. */
  const timeOf = async (phase: Phase): Promise<number | undefined> => {
    let runs = 1;
    let least = Number.POSITIVE_INFINITY;
    for (let samples = 0; samples < SAMPLES && !over(); ) {
      const ms = await inTurn((sequence) => {
        begin(phase, sequence);
        return clock.time((pass) => {
          for (let i = 0; i < runs; i++) encode(pass, phase.list, phase.step);
        });
      });
      if (ms >= clock.leastMs) {
        least = Math.min(least, ms / runs);
        samples++;
      } else if (runs === MOST_RUNS) return undefined;
      else
        runs = Math.min(
          MOST_RUNS,
          Math.max(2 * runs, Math.ceil((1.2 * runs * clock.leastMs) / Math.max(ms, 0.01))),
        );
    }
    return Number.isFinite(least) ? least : undefined;
  };
  const over = (): boolean => spent >= budgetMs || signal?.aborted === true || gpu.lost !== undefined;

  let best = { tuning: parts.tuning, phases: [] as Phase[] };
  const leftOut: LeftOut[] = [];
  const leaveOut = (choice: keyof TunedKernels, value: unknown, why: LeftOut['why']): void =>
    void leftOut.push({ kernel: choice, variant: variantText(choice, value), why });
  /** Tries variants of a choice in turn on top of the best so far. */
  const choose = async (choice: keyof TunedKernels): Promise<void> => {
    const timed = widths.indexOf(TIMED_WITH[choice]);
    let least = await timeOf(best.phases[timed]!);
    if (least === undefined) return;
    for (const value of VARIANTS[choice]) {
      if (over()) return;
      if (variantText(choice, value) === variantText(choice, best.tuning[choice])) continue;
      const tuning: Tuning = { ...best.tuning, [choice]: value };
      const phases = await phasesOf(tuning).catch((error: unknown) => {
        if (!(error instanceof PipelineError)) throw error;
        leaveOut(choice, value, 'does not compile');
      });
      if (!phases) continue;
      // Compiling may have taken long.
      if (over()) return;
      if (!(await agrees(phases, best.phases))) {
        leaveOut(choice, value, 'computes wrongly in');
        continue;
      }
      const taken = await timeOf(phases[timed]!);
      if (taken === undefined || taken > BETTER * least) continue;
      least = taken;
      best = { tuning, phases };
    }
  };

  try {
    best.phases = await phasesOf(best.tuning);
    // Nothing to tell right from wrong by.
    const known = await inTurn((sequence) => logitsOf(best.phases[0]!, sequence));
    if (known.every(Number.isFinite) && known.some((value) => value !== 0))
      for (const choice of Object.keys(TIMED_WITH) as (keyof TunedKernels)[])
        if (widths.includes(TIMED_WITH[choice])) await choose(choice);
  } finally {
    ledger.releaseAll();
  }
  return { tuning: tunedOf(best.tuning), leftOut };
}

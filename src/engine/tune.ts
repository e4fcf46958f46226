import { Ledger, readBuffer, watchErrors } from '../gpu/buffer.ts';
import { type Dispatch, encode, type StepShape, writeStep } from '../gpu/recorder.ts';
import { type TunedKernels, type Tuning, VARIANTS, type Width } from '../kernels/tuning.ts';
import { type ForwardParts, ROW_BYTES, recordBlocks, recordHead } from '../model/forward.ts';
import type { Plan } from '../model/spec.ts';

/** Milliseconds after which no further variant is begun. */
const BUDGET_MS = 1500;
/** Milliseconds of a sample, so that the way to the GPU and back weighs little; and samples, of which the best counts. */
const SAMPLE_MS = 8;
const SAMPLES = 3;
/** Most rows of the prompt that is timed. */
const PROMPT_ROWS = 128;
/** How much faster a variant has to be, so that noise does not choose. */
const BETTER = 0.95;
/** Logits may differ by this part of the largest; sums in another order differ by less. */
const TOLERANCE = 1e-3;

export interface TuneOptions {
  budgetMs?: number;
  signal?: AbortSignal | undefined;
}

/** Whether logits are those of the kernels that are known to be right. */
function same(found: Float32Array, expected: Float32Array): boolean {
  const spread = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-30);
  return found.every((value, i) => Math.abs(value - expected[i]!) <= TOLERANCE * spread);
}

/**
 * Times variants of the kernels on one block of each kind and the head of a model whose weights are on the GPU: decoding
 * first, then a chunk of a prompt. A variant that fails, or whose logits are not those of the defaults, is passed over.
 * Writes over the activations and the beginning of sequence 0's KV cache; nothing may run beside it.
 * @returns the fastest found when the time is over; the defaults where nothing is faster
 */
export async function tune(
  parts: ForwardParts,
  plan: Plan,
  { budgetMs = BUDGET_MS, signal }: TuneOptions = {},
): Promise<TunedKernels> {
  const { gpu, scratch, spec, kv } = parts;
  const { device } = gpu;
  const until = performance.now() + budgetMs;
  const ledger = new Ledger(gpu);
  const kinds = new Map(plan.map((block) => [block.kind, block]));
  const blocks = [...kinds.values()];
  const promptRows = Math.min(scratch.rows, kv.context, PROMPT_ROWS);
  const rowsFrom = (position: number, count: number): GPUBuffer => {
    const row = (r: number): number[] => [(r * 7919) % spec.vocabSize, 0, position + r, 0];
    return ledger.from(
      'tuning rows',
      Uint32Array.from({ length: count * (ROW_BYTES / 4) }, (_, i) => row(i >> 2)[i & 3]!),
      'scratch',
    );
  };
  const prompt = { rows: rowsFrom(0, promptRows), count: promptRows, context: promptRows };
  const at = Math.min(promptRows, kv.context - 1);
  const token = { rows: rowsFrom(at, 1), count: 1, context: at + 1 };

  const run = async (list: readonly Dispatch[], step: StepShape, times: number): Promise<number> => {
    const begun = performance.now();
    const end = watchErrors(gpu, 'a variant of the kernels');
    writeStep(gpu, scratch.step, step);
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (let i = 0; i < times; i++) encode(pass, list, step);
    pass.end();
    device.queue.submit([encoder.finish()]);
    const told = end();
    await device.queue.onSubmittedWorkDone();
    const ms = performance.now() - begun;
    await told;
    return ms;
  };

  /** Runs a phase with a tuning once: its launches, and the logits of the last row. */
  const logitsWith = async (tuning: Tuning, width: Width) => {
    const { rows, count, context } = width === 'many' ? prompt : token;
    const step = { rows: count, first: count - 1, count: 1, next: 0, context };
    const own = { ...parts, tuning };
    const [body, head] = await Promise.all([recordBlocks(own, blocks, rows, width), recordHead(own, 'one')]);
    const list = [...body, ...head];
    await run(list, step, 1);
    const bytes = 4 * spec.vocabSize;
    const logits = new Float32Array(await readBuffer(gpu, scratch.logits.buffer, 0, bytes));
    return { logits, time: (times: number) => run(list, step, times) };
  };

  let best = parts.tuning;
  /** Tries variants of one phase in turn on top of the best so far. */
  const choose = async (width: Width, variants: readonly Partial<TunedKernels>[]): Promise<void> => {
    const expected = await logitsWith(best, width);
    // Nothing to tell right from wrong by.
    if (!expected.logits.every(Number.isFinite) || expected.logits.every((value) => value === 0)) return;
    const times = Math.max(1, Math.min(64, Math.ceil(SAMPLE_MS / (await expected.time(1)))));
    const timeOf = async ({ time }: typeof expected): Promise<number> => {
      let least = Number.POSITIVE_INFINITY;
      for (let i = 0; i < SAMPLES; i++) least = Math.min(least, await time(times));
      return least;
    };
    let least = await timeOf(expected);
    for (const variant of variants) {
      if (performance.now() > until || signal?.aborted || gpu.lost !== undefined) return;
      const tried = { ...best, ...variant };
      if (JSON.stringify(tried) === JSON.stringify(best)) continue;
      const found = await logitsWith(tried, width).catch(() => undefined);
      if (!found || !same(found.logits, expected.logits)) continue;
      const taken = await timeOf(found);
      if (taken > BETTER * least) continue;
      least = taken;
      best = tried;
    }
  };

  try {
    const { matvec, attention, wide, wideAttention } = VARIANTS;
    // What a decoded token reads is in the cache from here on.
    if (promptRows >= parts.tuning.wideFrom)
      await choose('many', [
        ...wide.map((wide) => ({ wide })),
        ...wideAttention.map((wideAttention) => ({ wideAttention })),
      ]);
    await choose('one', [
      ...matvec.map((matvec) => ({ matvec })),
      ...attention.map((attention) => ({ attention })),
    ]);
  } finally {
    ledger.releaseAll();
  }
  const { matvec, attention, wide, wideAttention } = best;
  return { matvec, attention, wide, wideAttention };
}

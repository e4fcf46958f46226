import type { Runner } from '../engine/runner.ts';
import { GREEDY } from '../engine/sampler.ts';
import { throwIfAborted } from '../errors.ts';
import type { Gpu } from '../gpu/device.ts';
import { type Dispatch, type StepShape, writeStep } from '../gpu/recorder.ts';
import { type LaunchTime, timeLaunches } from '../gpu/timestamps.ts';
import type { Weight } from '../kernels/tensor.ts';
import { widthOf } from '../kernels/tuning.ts';
import { ROW_BYTES, recordBlocks } from '../model/forward.ts';
import { kvBytes, type Plan } from '../model/spec.ts';
import type { Session } from './open.ts';
import { type Spread, spreadOf } from './stats.ts';
import { type Work, weightBytesOf, workOf } from './work.ts';

/** Pseudorandom token ids; the same for both models where their vocabularies have one size. */
const tokenAt = (i: number, vocab: number): number => (Math.imul(i + 1, 2654435761) >>> 8) % vocab;

/** What is timed of a session. */
export type Timed = Pick<Session, 'spec' | 'plan' | 'runner'>;

/**
 * Warm-up, then samples of all subjects in turn, in an order that alternates: a drift affects all alike.
 * @param runRound runs a round, and may report it first
 * @param early gets the samples so far where a later one fails, before this throws
 */
export async function interleaved<T>(
  subjects: readonly T[],
  repetitions: number,
  time: (subject: T) => Promise<number>,
  runRound: (what: string, round: () => Promise<void>) => Promise<void> = (_, round) => round(),
  early: (spreads: Spread[]) => void = () => {},
): Promise<Spread[]> {
  const samples: number[][] = subjects.map(() => []);
  try {
    await runRound('warm-up', async () => {
      for (const subject of subjects) await time(subject);
    });
    for (let rep = 0; rep < repetitions; rep++)
      await runRound(`${rep + 1} of ${repetitions}`, async () => {
        const order = [...subjects.entries()];
        for (const [at, subject] of rep % 2 === 0 ? order : order.reverse())
          samples[at]!.push(await time(subject));
      });
  } catch (error) {
    if (samples.every(({ length }) => length > 0)) early(samples.map(spreadOf));
    throw error;
  }
  return samples.map(spreadOf);
}

/** ms from the call until the first token is on the CPU, for a prompt of this many tokens. */
export async function timeFirstToken(
  { runner, spec, plan }: Timed,
  tokens: number,
  signal?: AbortSignal,
): Promise<number> {
  const prompt = Array.from({ length: tokens }, (_, i) => tokenAt(i, spec.vocabSize));
  const begun = performance.now();
  await runner.prefill(plan, 0, prompt, 0, GREEDY, signal);
  return performance.now() - begun;
}

/** Puts every sequence at a position without running what is before it, with whatever K and V are in the cache. */
async function seek({ runner, spec, plan }: Timed, position: number): Promise<void> {
  for (let sequence = 0; sequence < runner.sequences; sequence++)
    await runner.prefill(plan, sequence, [tokenAt(sequence, spec.vocabSize)], position - 1, GREEDY);
}

/**
 * ms a step over `steps` decode steps from a position, from an idle GPU until the last token is on the CPU. The clock does not start
 * with the first token: the second may arrive with it, however long it took.
 */
export async function timeDecode(
  session: Timed,
  position: number,
  steps: number,
  signal?: AbortSignal,
): Promise<number> {
  throwIfAborted(signal);
  await seek(session, position);
  const { runner, plan } = session;
  const begun = performance.now();
  for await (const _ of runner.decode(plan, GREEDY, position, { steps })) throwIfAborted(signal);
  return (performance.now() - begun) / steps;
}

const weightBytes = ({ parts }: Weight): number =>
  parts.reduce(
    (sum, { codes, scales, vectors }) => sum + codes.size + (scales?.size ?? 0) + (vectors?.size ?? 0),
    0,
  );

/** Bytes that one decoded token reads at a position: every projection of every block (a shared one twice), head, K and V. */
export function trafficPerToken(
  { runner, spec, plan }: Timed,
  position: number,
): { weightBytes: number; kvBytes: number } {
  const { weights, kv } = runner.parts;
  let bytes = weightBytes(weights.head);
  for (const { kind, layer, mlp } of plan) {
    const { gateUp, down } = weights.mlp.get(mlp)!;
    bytes += weightBytes(gateUp) + weightBytes(down);
    if (kind === 'attention') {
      const { qkv, out } = weights.attention.get(layer)!;
      bytes += weightBytes(qkv) + weightBytes(out);
    }
    if (kind === 'conv') {
      const own = weights.conv.get(layer)!;
      bytes += weightBytes(own.in) + own.taps.size + weightBytes(own.out);
    }
    if (kind === 'linear') {
      const { down, up } = weights.linear.get(layer)!;
      bytes += (down ? weightBytes(down) : 0) + weightBytes(up);
    }
  }
  return {
    weightBytes: bytes,
    kvBytes: kvBytes(spec, plan, kv.dtype === 'f32' ? 4 : 2, ({ window = Number.POSITIVE_INFINITY }) =>
      Math.min(position + 1, window),
    ),
  };
}

/** Bytes of weights that a step of all sequences reads at a position, for each of its tokens. */
export async function weightBytesPerToken({ runner, plan }: Timed, position: number): Promise<number> {
  const rows = runner.sequences;
  const step = { rows, first: 0, count: rows, next: 0, context: position + 1 };
  return weightBytesOf(await runner.decodeDispatches(plan, position + 1), step) / rows;
}

/** A launch's time, and what it has to do. */
export interface TimedWork extends LaunchTime {
  work: Work;
}

async function timeWork(
  gpu: Gpu,
  dispatches: readonly Dispatch[],
  step: StepShape,
  rounds: number,
  before: () => Promise<void> | void,
): Promise<TimedWork[] | undefined> {
  const times = await timeLaunches(gpu, dispatches, step, rounds, before);
  // Both leave out what the step does not need.
  const works = dispatches.flatMap((dispatch) => workOf(dispatch, step) ?? []);
  return times?.map((time, i) => ({ ...time, work: works[i]! }));
}

/** GPU time of each launch of a decode step at a position; undefined without timestamp-query. */
export async function profileDecode(
  session: Timed,
  position: number,
  rounds: number,
): Promise<TimedWork[] | undefined> {
  const { runner, plan } = session;
  const { gpu, scratch } = runner.parts;
  const rows = runner.sequences;
  const dispatches = await runner.decodeDispatches(plan, position + 1);
  const step = { rows, first: 0, count: rows, next: 0, context: position + 1 };
  return timeWork(gpu, dispatches, step, rounds, async () => {
    await seek(session, position);
    writeStep(gpu, scratch.step, step);
  });
}

/** GPU time of each launch of a prompt's first chunk; undefined without timestamp-query. */
export function profilePrompt(
  { runner, spec, plan }: Timed,
  tokens: number,
  rounds: number,
): Promise<TimedWork[] | undefined> {
  const rows = Math.min(tokens, runner.parts.scratch.rows);
  const ids = Array.from({ length: rows }, (_, i) => tokenAt(i, spec.vocabSize));
  return profileBlocks(runner, plan, ids, 0, rounds);
}

/**
 * GPU time of each launch of the blocks over a row for each token, from a position on; undefined without timestamp-query. K and V
 * before the position may be anything: the time does not depend on their values.
 */
export async function profileBlocks(
  { parts, ledger }: Runner,
  plan: Plan,
  tokens: readonly number[],
  position: number,
  rounds: number,
): Promise<TimedWork[] | undefined> {
  const { gpu, scratch, tuning } = parts;
  const rows = tokens.length;
  const buffer = ledger.storage('profiled rows', ROW_BYTES * rows, 'scratch');
  try {
    const data = tokens.flatMap((token, i) => [token, 0, position + i, 0]);
    gpu.device.queue.writeBuffer(buffer, 0, Uint32Array.from(data));
    const dispatches = await recordBlocks(parts, plan, buffer, widthOf(tuning, rows, true));
    const step = { rows, first: 0, count: 0, next: 0, context: position + rows };
    const before = (): void => writeStep(gpu, scratch.step, step);
    return await timeWork(gpu, dispatches, step, rounds, before);
  } finally {
    ledger.release(buffer);
  }
}

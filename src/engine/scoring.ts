// What a model thinks of a given text: logits and log-probabilities of all its tokens.
import { readBuffer } from '../gpu/buffer.ts';
import { type Dispatch, Recorder } from '../gpu/recorder.ts';
import { betweenOf } from '../kernels/logits.ts';
import { score as scoreKernel } from '../kernels/logprobs.ts';
import { stride } from '../kernels/tensor.ts';
import type { Plan } from '../model/spec.ts';
import type { Runner } from './runner.ts';
import type { WholeCall } from './step.ts';

/** `(tokens, vocab)` f32. */
export async function logitsOf(
  runner: Runner,
  plan: Plan,
  tokens: readonly number[],
  call: WholeCall = {},
): Promise<Float32Array<ArrayBuffer>> {
  const {
    gpu,
    scratch: { logits },
  } = runner.parts;
  const vocab = logits.cols;
  const padded = stride(vocab);
  const out = new Float32Array(tokens.length * vocab);
  await runner.headRows(plan, tokens, call, [], async (position, rows) => {
    const values = new Float32Array(await readBuffer(gpu, logits.buffer, 0, 4 * rows * padded));
    for (let r = 0; r < rows; r++)
      out.set(values.subarray(r * padded, r * padded + vocab), (position + r) * vocab);
  });
  return out;
}

/** The log-probability (nats) of a token, and the likeliest one, by row. */
export interface Scores {
  logprobs: Float32Array;
  top1: Uint32Array;
}

/** Log-probabilities and likeliest tokens of pairs as the kernel leaves them. */
export function scoresOf(pairs: ArrayBuffer, rows: number): Scores {
  const [values, bits] = [new Float32Array(pairs), new Uint32Array(pairs)];
  return {
    logprobs: Float32Array.from({ length: rows }, (_, r) => values[2 * r]!),
    top1: Uint32Array.from({ length: rows }, (_, r) => bits[2 * r + 1]!),
  };
}

/** What scores rows of logits: launches behind the head's. */
export interface Scorer {
  dispatches: Dispatch[];
  /** `(rows, 2)` of a chunk: a log-probability, and the bits of a token. */
  scores: GPUBuffer;
  /** The tokens behind those of the chunk from a position on are scored next. */
  aim(tokens: readonly number[], position: number): void;
  close(): void;
}

export async function makeScorer({ parts, ledger }: Runner): Promise<Scorer> {
  const { gpu, tuning, scratch } = parts;
  const held: GPUBuffer[] = [];
  const make = (label: string, bytes: number): GPUBuffer => {
    const buffer = ledger.storage(label, bytes, 'scratch');
    held.push(buffer);
    return buffer;
  };
  const close = (): void => {
    for (const buffer of held) ledger.release(buffer);
  };
  try {
    const targets = make('targets', 4 * scratch.rows);
    const scores = make('scores', 8 * scratch.rows);
    const recorder = new Recorder(gpu);
    const { logits, logitRows, step } = scratch;
    const between = betweenOf((name, bytes) => make(name, bytes * logitRows));
    scoreKernel(tuning, recorder, { logits, targets, scores, step, between });
    return {
      dispatches: await recorder.finish(),
      scores,
      aim: (tokens, position) =>
        gpu.device.queue.writeBuffer(
          targets,
          0,
          Uint32Array.from({ length: scratch.rows }, (_, i) => tokens[position + i + 1] ?? 0),
        ),
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** For each token: the log-probability (nats) of the one that follows, and the likeliest; the last row's is of itself. */
export async function scoreOf(
  runner: Runner,
  plan: Plan,
  tokens: readonly number[],
  call: WholeCall = {},
): Promise<Scores> {
  const { gpu, scratch } = runner.parts;
  const { dispatches, scores, aim, close } = await makeScorer(runner);
  try {
    const logprobs = new Float32Array(tokens.length);
    const top1 = new Uint32Array(tokens.length);
    aim(tokens, 0);
    await runner.headRows(plan, tokens, call, dispatches, async (position, rows) => {
      const first = position % scratch.rows;
      const own = scoresOf(await readBuffer(gpu, scores, 8 * first, 8 * rows), rows);
      logprobs.set(own.logprobs, position);
      top1.set(own.top1, position);
      if (first + rows === scratch.rows) aim(tokens, position + rows);
    });
    return { logprobs, top1 };
  } finally {
    close();
  }
}

/** Log-probabilities by token, from those of `scoreOf` by row: row i tells of token i + 1; of the first nothing is known. */
export function ofTokens(rows: Float32Array): Float32Array<ArrayBuffer> {
  const logprobs = new Float32Array(rows.length);
  logprobs.set(rows.subarray(0, rows.length - 1), 1);
  return logprobs;
}

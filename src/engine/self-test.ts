import { type Dispatch, Recorder, type StepShape, writeStep } from '../gpu/recorder.ts';
import { betweenOf, SAMPLER_BYTES } from '../kernels/logits.ts';
import { argmax, packSampler, type Sampler } from '../kernels/sample.ts';
import { sample } from '../kernels/sampling.ts';
import { type Width, widthOf } from '../kernels/tuning.ts';
import { ROW_BYTES, recordBlocks, recordHead } from '../model/forward.ts';
import type { Plan } from '../model/spec.ts';
import { needsFew, type Runner } from './runner.ts';
import { SpotChecks, type WrongKernel } from './spot-checks.ts';

/** Rows of the prompt, as many as a thread takes at most; behind them some of a batch, and one that is decoded alone. */
const PROMPT = 8;
const FEW = 3;
/** How a token is drawn. */
const DRAWN: Sampler = {
  temperature: 0.8,
  topP: 0.9,
  minP: 0.01,
  topK: 40,
  repetitionPenalty: 1,
  frequencyPenalty: 0,
  presencePenalty: 0,
  seed: 1,
};
const NAMES: Record<Width, string> = { many: 'prompt', batch: 'batch', few: 'few rows', one: 'decode' };

/** What tells the kernels of one block from those of another. */
const kernelsOf = (dispatches: readonly Dispatch[]): string =>
  JSON.stringify(dispatches.map(({ shader }) => [shader.kernel.name, shader.imports, shader.constants]));

/** One block of each kind that launches differ by. */
async function oneOfEach({ parts }: Runner, plan: Plan, rows: GPUBuffer, adapted: boolean): Promise<Plan> {
  const dispatches = await recordBlocks(parts, plan, rows, 'one', adapted);
  const kinds = new Set<string>();
  return plan.filter(({ layer }) => {
    const kind = kernelsOf(dispatches.filter(({ block }) => block === layer));
    return !kinds.has(kind) && kinds.add(kind);
  });
}

/**
 * Runs a few tokens through one block of each kind, the head and the greedy choice, with the kernels that prompts and replies
 * of this model use, and compares some of each launch's results with its CPU twin's. Takes no more work for a larger model than
 * some rows of its matrices. The kernels for few rows are tested where they are compiled at loading.
 * @param adapted with the adapter that sequence 0 has
 * @returns kernels that computed wrongly, by the order of the forward
 */
export async function selfTest(runner: Runner, plan: Plan, adapted = false): Promise<WrongKernel[]> {
  const { parts, ledger } = runner;
  const { gpu, spec, scratch, kv, tuning } = parts;
  const { device } = gpu;
  const held: GPUBuffer[] = [];
  const storage = (label: string, bytes: number): GPUBuffer => {
    const buffer = ledger.storage(label, bytes, 'scratch');
    held.push(buffer);
    return buffer;
  };
  // A context that is too short for all of them has a shorter prompt.
  const few = needsFew({ gpu, kv }) ? Math.max(0, Math.min(FEW, scratch.logitRows, kv.context - 2)) : 0;
  const prompt = Math.min(PROMPT, scratch.rows, kv.context - 1 - few);
  const checks = new SpotChecks();
  const steps: { step: StepShape; rows: GPUBuffer; words: Uint32Array<ArrayBuffer> }[] = [];
  let blocks: Plan | undefined;

  /** Adds a step over tokens at positions `from ..`. */
  const add = async (width: Width, from: number, count: number): Promise<void> => {
    if (count <= 0) return;
    const rows = storage('self-test rows', ROW_BYTES * count);
    const row = (position: number): number[] => [(7919 * (position + 1)) % spec.vocabSize, 0, position, 0];
    const words = Uint32Array.from(Array.from({ length: count }, (_, i) => row(from + i)).flat());
    const step = {
      rows: count,
      first: 0,
      count: width === 'many' ? 0 : count,
      next: 0,
      context: from + count,
    };
    const known = new Map<GPUBuffer, ArrayBuffer>([
      [rows, words.buffer],
      ...(adapted ? parts.adapters!.known : []),
    ]);
    blocks ??= await oneOfEach(runner, plan, rows, adapted);
    const dispatches = await recordBlocks(parts, blocks, rows, width, adapted);
    if (width !== 'many') {
      const sampled = storage('self-test sampled', 4 * count);
      const recorder = new Recorder(gpu);
      const { logits, step } = scratch;
      const between = betweenOf((name, bytes) => storage(`self-test ${name}`, bytes * count));
      argmax(tuning, recorder, { logits, next: rows, sampled, step, between });
      // Software adapters compile what draws tokens when a reply first does.
      if (width === 'one' && gpu.profile === 'gpu' && !adapted) {
        const next = storage('self-test next', ROW_BYTES);
        const samplers = storage('self-test sampler', SAMPLER_BYTES);
        device.queue.writeBuffer(next, 0, words);
        device.queue.writeBuffer(samplers, 0, packSampler(DRAWN));
        known.set(next, words.buffer).set(samplers, packSampler(DRAWN));
        sample(tuning, recorder, { logits, next, sampled, samplers, step, between });
      }
      dispatches.push(...(await recordHead(parts, width)), ...(await recorder.finish()));
    }
    checks.add(dispatches, step, known, ({ block, label, shader }) => {
      const where = block === undefined ? '' : `, block ${block}`;
      return `${NAMES[width]}${where}: ${label} (${shader.kernel.name})`;
    });
    steps.push({ step, rows, words });
  };

  try {
    await add('many', 0, prompt);
    await add('few', prompt, few);
    // Its kernels are the same however few rows there are.
    if (widthOf(tuning, kv.sequences, false) === 'batch') await add('batch', prompt, few);
    await add('one', prompt + few, 1);
    const staging = ledger.buffer(
      'self-test',
      checks.bytes,
      'scratch',
      GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    );
    held.push(staging);
    for (const { step, rows, words } of steps) {
      device.queue.writeBuffer(rows, 0, words);
      writeStep(gpu, scratch.step, step);
      const encoder = device.createCommandEncoder();
      checks.encode(encoder, step, staging);
      device.queue.submit([encoder.finish()]);
    }
    await gpu.readBack.told(staging.mapAsync(GPUMapMode.READ));
    return checks.wrong(staging.getMappedRange());
  } finally {
    for (const buffer of held) ledger.release(buffer);
  }
}

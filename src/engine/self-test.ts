import { type Dispatch, Recorder, type StepShape, writeStep } from '../gpu/recorder.ts';
import { argmax } from '../kernels/sample.ts';
import { type Width, widthOf } from '../kernels/tuning.ts';
import { ROW_BYTES, recordBlocks, recordHead } from '../model/forward.ts';
import type { Plan } from '../model/spec.ts';
import { needsFew, type Runner } from './runner.ts';
import { SpotChecks, type WrongKernel } from './spot-checks.ts';

/** Rows of the prompt, as many as a thread takes at most; behind them some of a batch, and one that is decoded alone. */
const PROMPT = 8;
const FEW = 3;
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
  let sample: Plan | undefined;

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
    sample ??= await oneOfEach(runner, plan, rows, adapted);
    const dispatches = await recordBlocks(parts, sample, rows, width, adapted);
    if (width !== 'many') {
      const sampled = storage('self-test sampled', 4 * count);
      const recorder = new Recorder(gpu);
      argmax(tuning, recorder, { logits: scratch.logits, next: rows, sampled, step: scratch.step });
      dispatches.push(...(await recordHead(parts, width)), ...(await recorder.finish()));
    }
    const known = new Map([[rows, words.buffer], ...(adapted ? parts.adapters!.known : [])]);
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
    await staging.mapAsync(GPUMapMode.READ);
    return checks.wrong(staging.getMappedRange());
  } finally {
    for (const buffer of held) ledger.release(buffer);
  }
}

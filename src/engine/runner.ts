import { throwIfAborted } from '../errors.ts';
import { guardMemory, Ledger } from '../gpu/buffer.ts';
import { type Gpu, throwIfLost } from '../gpu/device.ts';
import { PipelineError } from '../gpu/pipeline.ts';
import { type Dispatch, encode, type StepShape, writeStep } from '../gpu/recorder.ts';
import { type TunedKernels, type Width, widthOf } from '../kernels/tuning.ts';
import { importModule } from '../lazy.ts';
import { type ForwardParts, ROW_BYTES, recordBlocks, recordHead } from '../model/forward.ts';
import type { Plan } from '../model/spec.ts';
import { clearNote, overflowOf, readOverflow } from './kv-range.ts';
import { LEAST_IN_FLIGHT, MOST_IN_FLIGHT, Pace } from './pace.ts';
import {
  GREEDY,
  once,
  type Replace,
  type Sampled,
  Sampler,
  type SamplingKind,
  type SamplingPass,
} from './sampler.ts';
import { planKey, type Row, type Step, type WholeCall } from './step.ts';
import type { LeftOut } from './types.ts';

/** Recordings of blocks that are kept: a slider over all levels of a deep model fits. */
const MOST_RECORDINGS = 128;

const NO_TOKEN = 0xffffffff;

/** How a step without logits samples. */
const NOTHING: SamplingPass = { dispatches: [], top: undefined };

/**
 * Whether a model runs the kernels for few rows from the start: for batches, and on GPUs for prompts of few tokens too, which
 * software adapters compile when the first comes: that takes them longer than all the rest of a load.
 */
export const needsFew = ({ gpu, kv }: Pick<ForwardParts, 'gpu' | 'kv'>): boolean =>
  gpu.profile === 'gpu' || kv.sequences > 1;

/** Submits steps of the one forward. Knows rows and buffers, neither text nor whose turn it is. */
export class Runner {
  readonly parts: ForwardParts;
  readonly ledger: Ledger;
  readonly sampler: Sampler;
  /** How many steps may be submitted before the oldest is read back. */
  readonly pace: Pace;
  /** Variants of kernels that failed here. */
  readonly leftOut: LeftOut[] = [];
  /** Told of one that fails when a reply first needs it. */
  onLeftOut: ((left: LeftOut) => void) | undefined;
  readonly #gpu: Gpu;
  readonly #promptRows: GPUBuffer;
  /** Rows whose tokens are sampled on the GPU. */
  readonly #nextRows: GPUBuffer;
  readonly #blocks = new Map<string, Promise<Dispatch[]>>();
  readonly #heads = new Map<Width, Promise<Dispatch[]>>();
  #inFlight = 0;
  /** What the step's buffer holds while steps are in flight. */
  #written = '';

  constructor(parts: ForwardParts, ledger: Ledger) {
    const { gpu, scratch, kv } = parts;
    this.parts = parts;
    this.ledger = ledger;
    this.#gpu = gpu;
    this.#promptRows = ledger.storage('prompt rows', ROW_BYTES * scratch.rows, 'scratch');
    this.#nextRows = ledger.storage('next rows', ROW_BYTES * kv.sequences, 'scratch');
    // One more: a step is submitted before the oldest is read.
    this.sampler = new Sampler(parts, ledger, this.#nextRows, MOST_IN_FLIGHT + 1, (...failed) =>
      this.#replace(...failed),
    );
    this.pace = new Pace(() => gpu.readBack.latencyMs);
  }

  get sequences(): number {
    return this.parts.kv.sequences;
  }

  /** Has the next best take the place of a kernel that does not compile, in what is recorded from here on. */
  async #replace(...[error, { gpu, tuning }]: Parameters<Replace>): ReturnType<Replace> {
    if (!(error instanceof PipelineError)) return false;
    const { replaceFailed } = await importModule(() => import('./remedy.ts'));
    // Another kind may have had it replaced meanwhile.
    if (this.parts.gpu !== gpu || this.parts.tuning !== tuning) return true;
    const left = replaceFailed(this.parts, error.spec, this.leftOut);
    if (left) this.onLeftOut?.(left);
    return left !== undefined;
  }

  #width(rows: number, prompt: boolean): Width {
    return widthOf(this.parts.tuning, rows, prompt);
  }

  #recordBlocks(plan: Plan, rows: 'prompt' | 'next', width: Width, adapted = false): Promise<Dispatch[]> {
    const key = `${rows} ${width} ${planKey(plan)}${adapted ? ' adapted' : ''}`;
    const buffer = rows === 'prompt' ? this.#promptRows : this.#nextRows;
    if (this.#blocks.size >= MOST_RECORDINGS) this.#blocks.clear();
    return once(this.#blocks, key, () => recordBlocks(this.parts, plan, buffer, width, adapted));
  }

  #recordHead(width: Width): Promise<Dispatch[]> {
    return once(this.#heads, width, () => recordHead(this.parts, width));
  }

  /** Compiles and binds what greedy decoding and prompts need, so that the first reply does not wait for it. */
  async warm(plan: Plan, adapted = false): Promise<void> {
    // One reply decodes alone, however large the batch is.
    const widths = new Set(
      [1, Math.min(this.sequences, this.parts.tuning.few), this.sequences].map((rows) =>
        this.#width(rows, false),
      ),
    );
    const longestShort = this.#width(this.parts.tuning.wideFrom - 1, true);
    const prompts: Width[] = needsFew(this.parts) ? ['many', 'few', longestShort] : ['many'];
    await Promise.all([
      ...[...widths].flatMap((width) => [
        this.#recordBlocks(plan, 'next', width, adapted),
        this.#recordHead(width),
      ]),
      ...[...new Set(prompts)].map((width) => this.#recordBlocks(plan, 'prompt', width, adapted)),
      this.sampler.prepare(GREEDY),
    ]);
  }

  /**
   * Makes what a plan lacks to run: KV buffers that were released, and recordings.
   * @throws ShishuError `out-of-memory`
   */
  async ready(plan: Plan): Promise<void> {
    const { kv } = this.parts;
    let made: number[] = [];
    try {
      await guardMemory(this.#gpu, 'the KV cache', () => {
        made = kv.allocate(plan);
      });
    } catch (error) {
      kv.release(made);
      throw error;
    }
    await this.warm(plan);
  }

  /** Frees the KV buffers of blocks that do not attend in the plan; returns their layers. No step may be under way. */
  releaseUnusedKv(plan: Plan): number[] {
    const layers = this.parts.kv.unused(plan);
    this.parts.kv.release(layers);
    // They may bind what is freed.
    if (layers.length > 0) this.#blocks.clear();
    return layers;
  }

  /** Weights have come or gone, or those of adapters alone, and with them the buffers that recordings bind. */
  forgetBlocks(end = ''): void {
    for (const key of this.#blocks.keys()) if (key.endsWith(end)) this.#blocks.delete(key);
  }

  /**
   * Compiles what a plan needs with other kernels.
   * @returns has steps run them from then on; none may be under way
   */
  async prepareTuning(tuned: TunedKernels, plan: Plan): Promise<() => void> {
    const tuning = { ...this.parts.tuning, ...tuned };
    const ledger = new Ledger(this.#gpu);
    try {
      await new Runner({ ...this.parts, tuning }, ledger).warm(plan);
    } finally {
      ledger.releaseAll();
    }
    return () => {
      this.parts.tuning = tuning;
      this.#blocks.clear();
      this.#heads.clear();
    };
  }

  /** The launches of one greedy decode step at a context. */
  async decodeDispatches(plan: Plan, context = 1): Promise<Dispatch[]> {
    const width = this.#width(this.sequences, false);
    const sampling = await this.sampler.prepare(GREEDY);
    const all = [
      ...(await this.#recordBlocks(plan, 'next', width)),
      ...(await this.#recordHead(width)),
      ...sampling.dispatches,
    ];
    const rows = this.sequences;
    return all.filter(({ grid }) => grid({ rows, first: 0, count: rows, next: 0, context }) !== undefined);
  }

  /** One submit: launches in one pass, with copies before and behind. */
  #submit(
    step: StepShape,
    lists: readonly (readonly Dispatch[])[],
    {
      before,
      after,
    }: { before?: (encoder: GPUCommandEncoder) => void; after?: (encoder: GPUCommandEncoder) => void } = {},
  ): void {
    throwIfLost(this.#gpu);
    const { device } = this.#gpu;
    const encoder = device.createCommandEncoder();
    before?.(encoder);
    const pass = encoder.beginComputePass();
    for (const list of lists) encode(pass, list, step);
    pass.end();
    after?.(encoder);
    device.queue.submit([encoder.finish()]);
  }

  #writeRows(buffer: GPUBuffer, at: number, rows: readonly (Row & { reply?: number })[]): void {
    if (rows.length === 0) return;
    const words = rows.flatMap(({ token, sequence, position, reply = 0 }) => [
      token,
      sequence,
      position,
      reply,
    ]);
    this.#gpu.device.queue.writeBuffer(buffer, ROW_BYTES * at, new Uint32Array(words));
  }

  /**
   * Submits a step; the inner promise is of its read-back. The rows are, in this order, those without logits, those sampled on
   * the GPU, those from the host: the ones with logits are neighbours.
   */
  async run(call: Step): Promise<{ done: Promise<Sampled> }> {
    const { plan, kind, rows, sampled, last, at, context, adapted } = call;
    const count = sampled + last.length;
    const all = rows.length + count;
    // Where nothing comes from the host, the rows are read where they were sampled.
    const fromHost = all > sampled;
    const [blocks, head, sampling] = await Promise.all([
      this.#recordBlocks(plan, fromHost ? 'prompt' : 'next', this.#width(all, fromHost), adapted),
      this.#recordHead(this.#width(count, false)),
      this.sampler.prepare(kind),
    ]);
    if (fromHost) {
      this.#writeRows(this.#promptRows, 0, rows);
      this.#writeRows(this.#promptRows, rows.length + sampled, last);
      const next = last.map(({ token, uncounted, ...row }) => ({
        ...row,
        token: uncounted ? token : NO_TOKEN,
      }));
      this.#writeRows(this.#nextRows, at, next);
      for (const [i, { sampler }] of last.entries()) if (sampler) this.sampler.setSampler(at + i, sampler);
    }
    const before = (encoder: GPUCommandEncoder): void => {
      const to = ROW_BYTES * rows.length;
      if (fromHost && sampled > 0)
        encoder.copyBufferToBuffer(this.#nextRows, 0, this.#promptRows, to, ROW_BYTES * sampled);
    };
    const step = { rows: all, first: rows.length, count, next: sampled > 0 ? 0 : at, context };
    const written = [step.rows, step.first, step.count, step.next].join();
    if (this.#inFlight === 0 || written !== this.#written)
      writeStep(this.#gpu, this.parts.scratch.step, step);
    this.#written = written;
    const done = this.sampler.take(count === 0 ? NOTHING : sampling, step, (dispatches, after) =>
      this.#submit(step, count === 0 ? [blocks] : [blocks, head, dispatches], { before, after }),
    );
    this.#inFlight++;
    const ended = (): void => void this.#inFlight--;
    done.then(() => {
      this.pace.landed(this.#inFlight);
      ended();
    }, ended);
    return { done };
  }

  /**
   * Runs tokens of one sequence from position `start`, in chunks, and samples the one after them, which gets the sequence's place
   * among the next step's rows. Nothing else may be in flight.
   */
  async prefill(
    plan: Plan,
    sequence: number,
    tokens: readonly number[],
    start: number,
    kind: SamplingKind,
    signal?: AbortSignal,
  ): Promise<Sampled> {
    clearNote(this.parts, sequence);
    const most = this.parts.scratch.rows;
    const flying: Promise<Sampled>[] = [];
    try {
      for (let at = 0; ; at += most) {
        throwIfAborted(signal);
        const rows = tokens
          .slice(at, at + most)
          .map((token, i) => ({ token, sequence, position: start + at + i }));
        const final = at + rows.length === tokens.length;
        const context = start + at + rows.length;
        const last = final ? [{ ...rows.pop()!, sampler: undefined, reply: 0, uncounted: false }] : [];
        const { done } = await this.run({ plan, kind, rows, sampled: 0, last, at: sequence, context });
        flying.push(done);
        // Of a chunk that others follow, what is awaited is the chunk before.
        while (flying.length >= (final ? 1 : LEAST_IN_FLIGHT)) {
          const sampled = await flying.shift()!;
          const overflow = sampled.notes && overflowOf(sampled.notes, sequence);
          if (overflow) throw overflow;
          if (final && flying.length === 0) return sampled;
        }
      }
    } finally {
      // The staging buffers must be unmapped before anyone uses them again.
      await Promise.allSettled(flying);
    }
  }

  /** Gives the K and V of one sequence to others, and what convolutions see of it. */
  copyKv(plan: Plan, from: number, to: readonly number[]): void {
    const { kv } = this.parts;
    const { device } = this.#gpu;
    const spare = this.ledger.storage('KV copy', kv.sequenceBytes, 'scratch');
    const encoder = device.createCommandEncoder();
    for (const block of plan) if (kv.keeps(block)) kv.copy(encoder, block.layer, from, to, spare);
    device.queue.submit([encoder.finish()]);
    this.ledger.release(spare);
  }

  /**
   * Decodes all sequences from where their prefills left them, one yield a step; steps are submitted ahead of their read-back.
   * @param position of the longest sequence's next row
   */
  async *decode(
    plan: Plan,
    kind: SamplingKind,
    position: number,
    { steps }: { steps: number },
  ): AsyncGenerator<Sampled> {
    const flying: Promise<Sampled>[] = [];
    try {
      for (let done = 0, sent = 0; done < steps; done++) {
        for (; sent < Math.min(steps, done + this.pace.inFlight); sent++) {
          const context = Math.min(this.parts.kv.context, position + sent + 1);
          const sampled = this.sequences;
          flying.push(
            (await this.run({ plan, kind, rows: [], sampled, last: [], at: sampled, context })).done,
          );
        }
        yield await flying.shift()!;
      }
    } finally {
      // The staging buffers must be unmapped before anyone uses them again.
      await Promise.allSettled(flying);
    }
  }

  /** Submits rows without logits, and launches behind their blocks for which `count` is the step's. Nothing else may be in flight. */
  async blockRows(
    plan: Plan,
    rows: readonly Row[],
    count: number,
    after: readonly Dispatch[],
    adapted = false,
  ): Promise<void> {
    const blocks = await this.#recordBlocks(plan, 'prompt', this.#width(rows.length, true), adapted);
    this.#writeRows(this.#promptRows, 0, rows);
    const context = 1 + Math.max(...rows.map(({ position }) => position));
    const step = { rows: rows.length, first: 0, count, next: 0, context };
    writeStep(this.#gpu, this.parts.scratch.step, step);
    this.#submit(step, [blocks, after]);
  }

  /**
   * Logits of all tokens of a sequence from position 0, in blocks of rows, which `scratch.logits (rows, stride(vocab))` holds
   * when `each` is called with the first one's position. Nothing else may be in flight.
   * @param after launched behind each block
   */
  async headRows(
    plan: Plan,
    tokens: readonly number[],
    { sequence = 0, signal, adapted = false }: WholeCall,
    after: readonly Dispatch[],
    each: (position: number, rows: number) => Promise<void>,
  ): Promise<void> {
    const { rows: most, logitRows } = this.parts.scratch;
    clearNote(this.parts, sequence);
    for (let at = 0; at < tokens.length; at += most) {
      throwIfAborted(signal);
      const chunk = tokens.slice(at, at + most);
      const rows = chunk.length;
      const blocks = await this.#recordBlocks(plan, 'prompt', this.#width(rows, true), adapted);
      this.#writeRows(
        this.#promptRows,
        0,
        chunk.map((token, i) => ({ token, sequence, position: at + i })),
      );
      for (let first = 0; first < rows; first += logitRows) {
        const count = Math.min(logitRows, rows - first);
        const step = { rows, first, count, next: 0, context: at + rows };
        writeStep(this.#gpu, this.parts.scratch.step, step);
        const head = await this.#recordHead(count >= this.parts.tuning.wideFrom ? 'many' : 'few');
        this.#submit(step, [first === 0 ? blocks : [], head, after]);
        await each(at + first, count);
      }
    }
    const overflow = await readOverflow(this.parts, sequence);
    if (overflow) throw overflow;
  }
}

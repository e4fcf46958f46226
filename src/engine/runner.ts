import { throwIfAborted } from '../errors.ts';
import { guardMemory, type Ledger } from '../gpu/buffer.ts';
import { type Gpu, throwIfLost } from '../gpu/device.ts';
import { type Dispatch, encode, type StepShape, writeStep } from '../gpu/recorder.ts';
import type { Width } from '../kernels/tuning.ts';
import { type ForwardParts, ROW_BYTES, recordBlocks, recordHead } from '../model/forward.ts';
import type { Plan } from '../model/spec.ts';
import { type ChoiceKind, type Chooser, Choosing, type Chosen, GREEDY, once } from './choosing.ts';
import { clearNote, readOverflow } from './kv-range.ts';

/** Steps in flight: the next is encoded before the last one's token is read back. */
const IN_FLIGHT = 2;

/** Recordings of blocks that are kept: a slider over all levels of a deep model fits. */
const MOST_RECORDINGS = 128;

const NO_TOKEN = 0xffffffff;

/**
 * Whether a model runs the kernels for few rows from the start: for batches, and on GPUs for prompts of few tokens too, which
 * software adapters compile when the first comes: that takes them longer than all the rest of a load.
 */
export const needsFew = ({ gpu, kv }: Pick<ForwardParts, 'gpu' | 'kv'>): boolean =>
  gpu.profile === 'gpu' || kv.sequences > 1;

/** Drives the one forward: prompts in chunks, decode steps in flight. Knows rows and buffers, not text. */
export class Runner {
  readonly parts: ForwardParts;
  readonly ledger: Ledger;
  readonly choosing: Choosing;
  readonly #gpu: Gpu;
  readonly #promptRows: GPUBuffer;
  /** The rows of decode steps: row s is sequence s. */
  readonly #nextRows: GPUBuffer;
  readonly #blocks = new Map<string, Promise<Dispatch[]>>();
  readonly #heads = new Map<Width, Promise<Dispatch[]>>();

  constructor(parts: ForwardParts, ledger: Ledger) {
    const { gpu, scratch, kv } = parts;
    this.parts = parts;
    this.ledger = ledger;
    this.#gpu = gpu;
    this.#promptRows = ledger.storage('prompt rows', ROW_BYTES * scratch.rows, 'scratch');
    this.#nextRows = ledger.storage('next rows', ROW_BYTES * kv.sequences, 'scratch');
    // One more: a step is submitted before the oldest is read.
    this.choosing = new Choosing(parts, ledger, this.#nextRows, IN_FLIGHT + 1);
  }

  get sequences(): number {
    return this.parts.kv.sequences;
  }

  #width(rows: number, prompt: boolean): Width {
    if (prompt) return rows >= this.parts.tuning.wideFrom ? 'many' : rows === 1 ? 'one' : 'few';
    return rows === 1 ? 'one' : 'few';
  }

  #recordBlocks(plan: Plan, rows: 'prompt' | 'next', width: Width): Promise<Dispatch[]> {
    const key = `${rows} ${width} ${plan.map(({ kind, mlp }) => kind + mlp).join()}`;
    const buffer = rows === 'prompt' ? this.#promptRows : this.#nextRows;
    if (this.#blocks.size >= MOST_RECORDINGS) this.#blocks.clear();
    return once(this.#blocks, key, () => recordBlocks(this.parts, plan, buffer, width));
  }

  #recordHead(width: Width): Promise<Dispatch[]> {
    return once(this.#heads, width, () => recordHead(this.parts, width));
  }

  /** Compiles and binds what greedy decoding and prompts need, so that the first reply does not wait for it. */
  async warm(plan: Plan): Promise<void> {
    // One reply decodes alone, however large the batch is.
    const widths = new Set([this.#width(1, false), this.#width(this.sequences, false)]);
    const prompts: Width[] = needsFew(this.parts) ? ['many', 'few'] : ['many'];
    await Promise.all([
      ...[...widths].flatMap((width) => [this.#recordBlocks(plan, 'next', width), this.#recordHead(width)]),
      ...prompts.map((width) => this.#recordBlocks(plan, 'prompt', width)),
      this.choosing.prepare(GREEDY),
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

  /** The launches of one greedy decode step at a context. */
  async decodeDispatches(plan: Plan, context = 1): Promise<Dispatch[]> {
    const width = this.#width(this.sequences, false);
    const chooser = await this.choosing.prepare(GREEDY);
    const all = [
      ...(await this.#recordBlocks(plan, 'next', width)),
      ...(await this.#recordHead(width)),
      ...chooser.dispatches,
    ];
    const rows = this.sequences;
    return all.filter(({ grid }) => grid({ rows, first: 0, count: rows, next: 0, context }) !== undefined);
  }

  #writePrompt(tokens: readonly number[], sequence: number, position: number): void {
    const rows = new Uint32Array(4 * tokens.length);
    tokens.forEach((token, i) => {
      rows.set([token, sequence, position + i], 4 * i);
    });
    this.#gpu.device.queue.writeBuffer(this.#promptRows, 0, rows);
  }

  /** One submit: launches in one pass, then copies. */
  #submit(
    step: StepShape,
    lists: readonly (readonly Dispatch[])[],
    after?: (encoder: GPUCommandEncoder) => void,
  ): void {
    throwIfLost(this.#gpu);
    const { device } = this.#gpu;
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const list of lists) encode(pass, list, step);
    pass.end();
    after?.(encoder);
    device.queue.submit([encoder.finish()]);
  }

  /** Runs a prompt's tokens through the blocks in chunks; `each` submits a chunk, whose rows are written. */
  async #prompt(
    plan: Plan,
    sequence: number,
    tokens: readonly number[],
    start: number,
    signal: AbortSignal | undefined,
    each: (chunk: { rows: number; at: number; final: boolean; blocks: Dispatch[] }) => Promise<void> | void,
  ): Promise<void> {
    const { rows: most } = this.parts.scratch;
    clearNote(this.parts);
    for (let at = 0; at < tokens.length; at += most) {
      throwIfAborted(signal);
      const chunk = tokens.slice(at, at + most);
      const blocks = await this.#recordBlocks(plan, 'prompt', this.#width(chunk.length, true));
      this.#writePrompt(chunk, sequence, start + at);
      const final = at + chunk.length === tokens.length;
      await each({ rows: chunk.length, at: start + at, final, blocks });
      // An abort must not wait for the whole prompt.
      if (!final) await this.#gpu.device.queue.onSubmittedWorkDone();
    }
  }

  /** Prefill of one sequence from position `start`, and the choice of the token after it. */
  async prefill(
    plan: Plan,
    sequence: number,
    tokens: readonly number[],
    start: number,
    kind: ChoiceKind,
    signal?: AbortSignal,
  ): Promise<Chosen> {
    const chooser = await this.choosing.prepare(kind);
    const head = await this.#recordHead('one');
    this.#gpu.device.queue.writeBuffer(
      this.#nextRows,
      sequence * ROW_BYTES,
      new Uint32Array([NO_TOKEN, sequence, start + tokens.length - 1, 0]),
    );
    let chosen: Promise<Chosen> | undefined;
    await this.#prompt(plan, sequence, tokens, start, signal, ({ rows, at, final, blocks }) => {
      const step = { rows, first: rows - 1, count: final ? 1 : 0, next: sequence, context: at + rows };
      writeStep(this.#gpu, this.parts.scratch.step, step);
      if (!final) this.#submit(step, [blocks]);
      else chosen = this.#choose(step, [blocks, head], chooser);
    });
    return chosen!;
  }

  /** Gives the K and V of one sequence to others, in the blocks that attend. */
  copyKv(plan: Plan, from: number, to: readonly number[]): void {
    const { kv } = this.parts;
    const { device } = this.#gpu;
    const spare = this.ledger.storage('KV copy', kv.sequenceBytes, 'scratch');
    const encoder = device.createCommandEncoder();
    for (const { kind, layer } of plan) if (kind === 'attention') kv.copy(encoder, layer, from, to, spare);
    device.queue.submit([encoder.finish()]);
    this.ledger.release(spare);
  }

  /** Submits a step that ends in a choice; the promise is of its read-back. */
  #choose(step: StepShape, lists: readonly (readonly Dispatch[])[], chooser: Chooser): Promise<Chosen> {
    return this.choosing.take(chooser, step, (dispatches, after) =>
      this.#submit(step, [...lists, dispatches], after),
    );
  }

  /**
   * Decodes the first `sequences` (default all) from where their prefills left them, one yield a step. Steps are submitted ahead of their read-back
   * unless `lockstep` (a mask must be known before the next choice).
   * @param position of the longest sequence's next row
   */
  async *decode(
    plan: Plan,
    kind: ChoiceKind,
    position: number,
    options: { steps: number; lockstep: boolean; sequences?: number },
  ): AsyncGenerator<Chosen> {
    const { sequences: rows = this.sequences } = options;
    const width = this.#width(rows, false);
    const [blocks, head, chooser] = [
      await this.#recordBlocks(plan, 'next', width),
      await this.#recordHead(width),
      await this.choosing.prepare(kind),
    ];
    writeStep(this.#gpu, this.parts.scratch.step, { rows, first: 0, count: rows, next: 0 });
    const flying: Promise<Chosen>[] = [];
    try {
      for (let done = 0, sent = 0; done < options.steps; done++) {
        const ahead = Math.min(options.steps, done + (options.lockstep ? 1 : IN_FLIGHT));
        for (; sent < ahead; sent++) {
          const context = Math.min(this.parts.kv.context, position + sent + 1);
          flying.push(
            this.#choose({ rows, first: 0, count: rows, next: 0, context }, [blocks, head], chooser),
          );
        }
        yield await flying.shift()!;
      }
    } finally {
      // The staging buffers must be unmapped before anyone uses them again.
      await Promise.allSettled(flying);
    }
  }

  /**
   * Logits of all tokens of sequence 0 from position 0, in blocks of rows, which `scratch.logits (rows, stride(vocab))` holds
   * when `each` is called with the first one's position.
   * @param after launched behind each block
   */
  async headRows(
    plan: Plan,
    tokens: readonly number[],
    signal: AbortSignal | undefined,
    after: readonly Dispatch[],
    each: (position: number, rows: number) => Promise<void>,
  ): Promise<void> {
    const { logitRows } = this.parts.scratch;
    await this.#prompt(plan, 0, tokens, 0, signal, async ({ rows, at, blocks }) => {
      for (let first = 0; first < rows; first += logitRows) {
        const count = Math.min(logitRows, rows - first);
        const step = { rows, first, count, next: 0, context: at + rows };
        writeStep(this.#gpu, this.parts.scratch.step, step);
        const head = await this.#recordHead(count >= this.parts.tuning.wideFrom ? 'many' : 'few');
        this.#submit(step, [first === 0 ? blocks : [], head, after]);
        await each(at + first, count);
      }
    });
    const overflow = await readOverflow(this.parts);
    if (overflow) throw overflow;
  }
}

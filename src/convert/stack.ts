// Parts of the stack, over the tokens of a window: from their embeddings or from hidden states that were kept, up to any place.
import type { Runner } from '../engine/runner.ts';
import { once } from '../engine/sampler.ts';
import { makeScorer, type Scores, scoresOf } from '../engine/scoring.ts';
import { readBuffer } from '../gpu/buffer.ts';
import { throwIfLost } from '../gpu/device.ts';
import { type Dispatch, encode, type StepShape, writeStep } from '../gpu/recorder.ts';
import { stride } from '../kernels/tensor.ts';
import { type Width, widthOf } from '../kernels/tuning.ts';
import { type ForwardParts, ROW_BYTES, recordBlocks, recordHead } from '../model/forward.ts';
import type { Block, Plan } from '../model/spec.ts';

/** Before a layer's mixer, behind it, and above all blocks. */
export const beforeMixer = (layer: number): number => 2 * layer;
export const behindMixer = (layer: number): number => 2 * layer + 1;
export const aboveAll = (plan: Plan): number => 2 * plan.length;

/** Where a run calls its hook: `scratch.x` holds the hidden states at the place. */
export interface HookPoint {
  /** With no pass open. */
  encoder: GPUCommandEncoder;
  place: number;
  step: StepShape;
  /** Position of the first row. */
  position: number;
}

/** Hidden states `(tokens, stride(hidden))` of a window at a place. */
export interface States {
  place: number;
  buffer: GPUBuffer;
}

export interface PartCall {
  /** Where it begins; without it, at the embeddings. */
  from?: States | undefined;
  to?: number | undefined;
  /** Places of the hook, ascending. */
  places?: readonly number[];
  /** Encodes what is wanted of the hidden states. */
  hook?: (point: HookPoint) => void;
  /** Called for each chunk, before the next is encoded. */
  submitted?: (step: StepShape, position: number) => Promise<void> | void;
}

/** Whether a launch opens a block's feed-forward: its norm or its first product, both labelled so. */
export const opensFeedForward = ({ label }: { label: string }): boolean => label.startsWith('gate and up');

/** Encodes launches as a pass of their own. */
export function encodePass(
  encoder: GPUCommandEncoder,
  dispatches: readonly Dispatch[],
  step: StepShape,
): void {
  const pass = encoder.beginComputePass();
  encode(pass, dispatches, step);
  pass.end();
}

/** Keeps the hidden states of a chunk in those of its window. */
export function keepStates(
  { scratch: { x } }: Pick<ForwardParts, 'scratch'>,
  { encoder, step, position }: HookPoint,
  to: GPUBuffer,
): void {
  const bytes = 4 * stride(x.cols);
  encoder.copyBufferToBuffer(x.buffer, 0, to, position * bytes, step.rows * bytes);
}

/** A block's launches up to behind its mixer, and the others. */
type Halves = readonly [Dispatch[], Dispatch[]];

/** The stack of a model, of which parts are run. Launches of a block in a mode are recorded once, when they are first needed. */
export class Stack {
  /** Rows (token, sequence, position) of a chunk. */
  readonly rows: GPUBuffer;
  /** Blocks times tokens that were run. */
  blockTokens = 0;
  readonly #runner: Runner;
  readonly #halves = new Map<string, Promise<Halves>>();
  readonly #heads = new Map<Width, Promise<Dispatch[]>>();
  #embed: Promise<Dispatch[]> | undefined;
  #scorer: ReturnType<typeof makeScorer> | undefined;

  constructor(runner: Runner) {
    this.#runner = runner;
    this.rows = runner.ledger.storage('rows of the stack', ROW_BYTES * runner.parts.scratch.rows, 'scratch');
  }

  close(): void {
    this.#runner.ledger.release(this.rows);
    void this.#scorer?.then(({ close }) => close());
  }

  /** Bytes of the hidden states of a token. */
  get stateBytes(): number {
    return 4 * stride(this.#runner.parts.spec.hiddenSize);
  }

  /** Few rows take other kernels than a whole chunk. */
  widthOf(rows: number): Width {
    return widthOf(this.#runner.parts.tuning, rows, true);
  }

  #halvesOf(block: Block, width: Width): Promise<Halves> {
    return once(this.#halves, `${block.layer} ${block.kind} ${width}`, async () => {
      const all = await recordBlocks(this.#runner.parts, [block], this.rows, width);
      const own = all.filter((dispatch) => dispatch.block !== undefined);
      const cut = own.findIndex(opensFeedForward);
      return [own.slice(0, cut), own.slice(cut)];
    });
  }

  /** Launches up to each of some places. */
  async #lists(
    plan: Plan,
    from: number | undefined,
    cuts: readonly number[],
    width: Width,
  ): Promise<Dispatch[][]> {
    this.#embed ??= recordBlocks(this.#runner.parts, [], this.rows, 'many');
    const lists: Dispatch[][] = [];
    let list = from === undefined ? [...(await this.#embed)] : [];
    let place = from ?? 0;
    for (const cut of cuts) {
      for (; place < cut; place++) {
        const halves = await this.#halvesOf(plan[Math.floor(place / 2)]!, width);
        list.push(...halves[place % 2]!);
      }
      lists.push(list);
      list = [];
    }
    return lists;
  }

  /** Runs a part of the stack for one window, whose first token is at position 0, in chunks. */
  async run(
    tokens: readonly number[],
    plan: Plan,
    { from, to = aboveAll(plan), places = [], hook, submitted }: PartCall = {},
  ): Promise<void> {
    const { gpu, scratch } = this.#runner.parts;
    const bytes = this.stateBytes;
    const listsOf = new Map<Width, Promise<Dispatch[][]>>();
    for (let position = 0; position < tokens.length; position += scratch.rows) {
      throwIfLost(gpu);
      const chunk = tokens.slice(position, position + scratch.rows);
      const rows = chunk.length;
      const width = this.widthOf(rows);
      const lists = await once(listsOf, width, () => this.#lists(plan, from?.place, [...places, to], width));
      const step = { rows, first: 0, count: 0, next: 0, context: position + rows };
      const data = chunk.flatMap((token, i) => [token, 0, position + i, 0]);
      gpu.device.queue.writeBuffer(this.rows, 0, Uint32Array.from(data));
      writeStep(gpu, scratch.step, step);
      const encoder = gpu.device.createCommandEncoder();
      if (from) encoder.copyBufferToBuffer(from.buffer, position * bytes, scratch.x.buffer, 0, rows * bytes);
      for (const [i, list] of lists.entries()) {
        encodePass(encoder, list, step);
        if (i < places.length) hook?.({ encoder, place: places[i]!, step, position });
      }
      gpu.device.queue.submit([encoder.finish()]);
      this.blockTokens += (rows * (to - (from?.place ?? 0))) / 2;
      await submitted?.(step, position);
    }
    // Else all windows would queue up at once.
    await gpu.readBack.told(gpu.device.queue.onSubmittedWorkDone());
    throwIfLost(gpu);
  }

  /** For each token of a window: the log-probability (nats) of the one that follows, and the likeliest; the last one's is of itself. */
  async score(
    tokens: readonly number[],
    plan: Plan,
    { from, places, hook }: Pick<PartCall, 'from' | 'places' | 'hook'> = {},
  ): Promise<Scores> {
    const { parts, ledger } = this.#runner;
    const { gpu, scratch } = parts;
    this.#scorer ??= makeScorer(this.#runner);
    const scorer = await this.#scorer;
    const kept = ledger.storage('scores of a window', 8 * tokens.length, 'scratch');
    const submit = (encode: (encoder: GPUCommandEncoder) => void): void => {
      const encoder = gpu.device.createCommandEncoder();
      encode(encoder);
      gpu.device.queue.submit([encoder.finish()]);
    };
    try {
      await this.run(tokens, plan, {
        from,
        places,
        hook,
        submitted: async (step, position) => {
          scorer.aim(tokens, position);
          for (let first = 0; first < step.rows; first += scratch.logitRows) {
            const count = Math.min(scratch.logitRows, step.rows - first);
            const width = this.widthOf(count) === 'many' ? 'many' : 'few';
            const head = await once(this.#heads, width, () => recordHead(parts, width));
            const some = { ...step, first, count };
            writeStep(gpu, scratch.step, some);
            submit((encoder) => encodePass(encoder, [...head, ...scorer.dispatches], some));
          }
          submit((encoder) =>
            encoder.copyBufferToBuffer(scorer.scores, 0, kept, 8 * position, 8 * step.rows),
          );
        },
      });
      return scoresOf(await readBuffer(gpu, kept), tokens.length);
    } finally {
      ledger.release(kept);
    }
  }
}

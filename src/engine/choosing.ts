import type { Ledger } from '../gpu/buffer.ts';
import { type Dispatch, Recorder, type StepShape } from '../gpu/recorder.ts';
import { argmax, MAX_TOP, packSampler, SAMPLER_BYTES, type Sampler } from '../kernels/sample.ts';
import type { Logprobs } from '../kernels/sampling.ts';
import type { ForwardParts } from '../model/forward.ts';
import { part } from '../part.ts';
import type { ChoiceBuffers, ChoiceKind, TopLogprobs } from './drawn-choice.ts';
import { isNarrow, NOTE_BYTES, noteAt, overflowOf } from './kv-range.ts';

export type { ChoiceKind } from './drawn-choice.ts';

/** The likeliest token, as the model says it. */
export const GREEDY: ChoiceKind = { greedy: true, adjusted: false, bias: false, mask: false, top: undefined };

/** What one step chose for each sequence. */
export interface Chosen {
  /** `(sequences)` */
  tokens: Uint32Array;
  /** `(sequences, top + 1)` pairs (token, log-probability); the last is the chosen token. */
  logprobs: Logprobs | undefined;
}

/** Encoded work and buffers for choosing tokens in one way. */
export interface Chooser {
  dispatches: Dispatch[];
  top: TopLogprobs | undefined;
}

/** What is made once and kept; what failed is made again at the next call. */
export function once<K, T>(kept: Map<K, Promise<T>>, key: K, make: () => Promise<T>): Promise<T> {
  const there = kept.get(key);
  if (there) return there;
  const made = make();
  kept.set(key, made);
  made.catch(() => {
    if (kept.get(key) === made) kept.delete(key);
  });
  return made;
}

/** How the token after a row is chosen: samplers and what adjusts them on the GPU, and the way of the chosen token to the host. */
export class Choosing {
  readonly #parts: ForwardParts;
  readonly #ledger: Ledger;
  readonly #sequences: number;
  readonly #next: GPUBuffer;
  readonly #sampled: GPUBuffer;
  readonly #samplers: GPUBuffer;
  readonly #staging: GPUBuffer[] = [];
  readonly #choosers = new Map<string, Promise<Chooser>>();
  readonly #buffers: ChoiceBuffers = {};
  #stagingAt = 0;

  /**
   * @param next rows of the next step, which a choice writes its token into
   * @param inFlight most choices that are not read back yet
   */
  constructor(parts: ForwardParts, ledger: Ledger, next: GPUBuffer, inFlight: number) {
    this.#parts = parts;
    this.#ledger = ledger;
    this.#next = next;
    this.#sequences = parts.kv.sequences;
    this.#sampled = ledger.storage('sampled', 4 * this.#sequences, 'scratch');
    this.#samplers = ledger.storage('samplers', SAMPLER_BYTES * this.#sequences, 'scratch');
    const bytes = this.#sequences * (4 + 8 * (MAX_TOP + 1)) + NOTE_BYTES;
    for (let i = 0; i < inFlight; i++)
      this.#staging.push(
        ledger.buffer('read-back', bytes, 'scratch', GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST),
      );
  }

  /** Compiles and binds a way to choose. */
  prepare(kind: ChoiceKind): Promise<Chooser> {
    return once(this.#choosers, JSON.stringify(kind), () => this.#makeChooser(kind));
  }

  async #makeChooser(kind: ChoiceKind): Promise<Chooser> {
    const parts = this.#parts;
    const { logits, step } = parts.scratch;
    const recorder = new Recorder(parts.gpu);
    const call = { logits, next: this.#next, sampled: this.#sampled, samplers: this.#samplers, step };
    let top: TopLogprobs | undefined;
    if (kind.greedy && !kind.adjusted && kind.top === undefined) argmax(parts.tuning, recorder, call);
    else {
      const { recordChoice } = await part(() => import('./drawn-choice.ts'));
      top = recordChoice(recorder, kind, call, { parts, ledger: this.#ledger, buffers: this.#buffers });
    }
    return { dispatches: await recorder.finish(), top };
  }

  /** Sets how a sequence samples. `counts`, `bias` `(vocab)` only for adjusted choices. */
  async setSampler(
    sequence: number,
    kind: ChoiceKind,
    sampler: Sampler,
    adjustments: { counts: Uint32Array<ArrayBuffer>; bias?: Float32Array<ArrayBuffer> | undefined },
  ): Promise<void> {
    await this.prepare(kind);
    const { queue } = this.#parts.gpu.device;
    queue.writeBuffer(this.#samplers, sequence * SAMPLER_BYTES, packSampler(sampler));
    const { counts, bias } = this.#buffers;
    const at = 4 * sequence * this.#parts.spec.vocabSize;
    if (kind.adjusted) queue.writeBuffer(counts!, at, adjustments.counts);
    if (kind.bias && adjustments.bias) queue.writeBuffer(bias!, at, adjustments.bias);
  }

  /** Sets the tokens a sequence may choose next: `(maskWords(vocab))`, a bit a token. */
  setMask(sequence: number, mask: Uint32Array<ArrayBuffer>): void {
    this.#parts.gpu.device.queue.writeBuffer(this.#buffers.mask!, sequence * mask.byteLength, mask);
  }

  /** Submits a step that ends in a choice; the promise is of its read-back. */
  take(
    { dispatches, top }: Chooser,
    step: StepShape,
    submit: (dispatches: Dispatch[], after: (encoder: GPUCommandEncoder) => void) => void,
  ): Promise<Chosen> {
    const staging = this.#staging[this.#stagingAt++ % this.#staging.length]!;
    const tokenBytes = 4 * this.#sequences;
    const noted = tokenBytes + (top?.bytes ?? 0);
    const all = noted + NOTE_BYTES;
    const parts = this.#parts;
    const narrow = isNarrow(parts);
    submit(dispatches, (encoder) => {
      encoder.copyBufferToBuffer(this.#sampled, 0, staging, 0, tokenBytes);
      if (top) encoder.copyBufferToBuffer(top.buffer, 0, staging, tokenBytes, top.bytes);
      if (narrow) encoder.copyBufferToBuffer(parts.scratch.q, noteAt(parts), staging, noted, NOTE_BYTES);
    });
    const read = async (): Promise<Chosen> => {
      await staging.mapAsync(GPUMapMode.READ, 0, all);
      const bytes = staging.getMappedRange(0, all).slice(0);
      staging.unmap();
      const overflow = narrow && overflowOf(new Float32Array(bytes, noted, 2));
      if (overflow) throw overflow;
      return {
        tokens: new Uint32Array(bytes, 0, this.#sequences),
        logprobs: top?.read(bytes, step),
      };
    };
    return read();
  }
}

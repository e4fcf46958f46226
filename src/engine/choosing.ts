import type { Ledger } from '../gpu/buffer.ts';
import { type Dispatch, Recorder, type StepShape } from '../gpu/recorder.ts';
import { argmax, maskWords, packSampler, SAMPLER_BYTES, type Sampler } from '../kernels/sample.ts';
import { stride } from '../kernels/tensor.ts';
import type { ForwardParts } from '../model/forward.ts';
import { part } from '../part.ts';

/** Kernels that greedy decoding does without. */
export const samplingKernels = () => part(() => import('../kernels/sampling.ts'));

/** Most tokens of `topLogprobs`, as in OpenAI's API. */
export const MAX_TOP = 20;

/** Which kernels choose a token. */
export interface ChoiceKind {
  greedy: boolean;
  adjusted: boolean;
  bias: boolean;
  mask: boolean;
  /** Log-probabilities of the chosen token and of this many of the likeliest; undefined for none. */
  top: number | undefined;
}

/** The likeliest token, as the model says it. */
export const GREEDY: ChoiceKind = { greedy: true, adjusted: false, bias: false, mask: false, top: undefined };

/** What one step chose for each sequence. */
export interface Chosen {
  /** `(sequences)` */
  tokens: Uint32Array;
  /** `(sequences, top + 1)` pairs (token, log-probability); the last is the chosen token. */
  logprobs: { tokenId: number; logprob: number }[][] | undefined;
}

/** Encoded work and buffers for choosing tokens in one way. */
export interface Chooser {
  dispatches: Dispatch[];
  top: GPUBuffer | undefined;
  topBytes: number;
}

/** What is made once and kept. */
export function once<K, T>(kept: Map<K, Promise<T>>, key: K, make: () => Promise<T>): Promise<T> {
  const made = kept.get(key) ?? make();
  kept.set(key, made);
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
  readonly #adjusting: { counts?: GPUBuffer; bias?: GPUBuffer; mask?: GPUBuffer } = {};
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
    const bytes = this.#sequences * (4 + 8 * (MAX_TOP + 1));
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
    const { gpu, tuning, config, scratch } = this.#parts;
    const { step } = scratch;
    const recorder = new Recorder(gpu);
    const { vocabSize } = config;
    const plain = kind.greedy && !kind.adjusted && kind.top === undefined;
    const more = plain ? undefined : await samplingKernels();
    const common = { next: this.#next, sampled: this.#sampled, samplers: this.#samplers, step };
    const held = this.#adjusting;
    const hold = (name: keyof typeof held, bytes: number): GPUBuffer => {
      held[name] ??= this.#ledger.storage(name, bytes * this.#sequences, 'scratch');
      return held[name];
    };
    let { logits } = scratch;
    if (kind.adjusted) {
      const adjusted = {
        buffer: this.#ledger.storage('adjusted logits', 4 * this.#sequences * stride(vocabSize), 'scratch'),
        cols: vocabSize,
      };
      more!.adjust(tuning, recorder, {
        ...common,
        logits,
        adjusted,
        counts: hold('counts', 4 * vocabSize),
        bias: kind.bias ? hold('bias', 4 * vocabSize) : undefined,
        mask: kind.mask ? hold('mask', 4 * maskWords(vocabSize)) : undefined,
      });
      logits = adjusted;
    }
    if (kind.greedy) argmax(tuning, recorder, { ...common, logits });
    else more!.sample(tuning, recorder, { ...common, logits });
    let top: GPUBuffer | undefined;
    const topBytes = kind.top === undefined ? 0 : 8 * this.#sequences * (kind.top + 1);
    if (kind.top !== undefined) {
      top = this.#ledger.storage('top logprobs', topBytes, 'scratch');
      more!.topLogprobs(tuning, recorder, {
        logits: scratch.logits,
        top: kind.top,
        sampled: this.#sampled,
        out: top,
        step,
      });
    }
    return { dispatches: await recorder.finish(), top, topBytes };
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
    const { counts, bias } = this.#adjusting;
    const at = 4 * sequence * this.#parts.config.vocabSize;
    if (kind.adjusted) queue.writeBuffer(counts!, at, adjustments.counts);
    if (kind.bias && adjustments.bias) queue.writeBuffer(bias!, at, adjustments.bias);
  }

  /** Sets the tokens a sequence may choose next: `(maskWords(vocab))`, a bit a token. */
  setMask(sequence: number, mask: Uint32Array<ArrayBuffer>): void {
    this.#parts.gpu.device.queue.writeBuffer(this.#adjusting.mask!, sequence * mask.byteLength, mask);
  }

  /** Submits a step that ends in a choice; the promise is of its read-back. */
  take(
    { dispatches, top, topBytes }: Chooser,
    step: StepShape,
    submit: (dispatches: Dispatch[], after: (encoder: GPUCommandEncoder) => void) => void,
  ): Promise<Chosen> {
    const staging = this.#staging[this.#stagingAt++ % this.#staging.length]!;
    const tokenBytes = 4 * this.#sequences;
    submit(dispatches, (encoder) => {
      encoder.copyBufferToBuffer(this.#sampled, 0, staging, 0, tokenBytes);
      if (top) encoder.copyBufferToBuffer(top, 0, staging, tokenBytes, topBytes);
    });
    const read = async (): Promise<Chosen> => {
      await staging.mapAsync(GPUMapMode.READ, 0, tokenBytes + topBytes);
      const bytes = staging.getMappedRange(0, tokenBytes + topBytes).slice(0);
      staging.unmap();
      return {
        tokens: new Uint32Array(bytes, 0, this.#sequences),
        logprobs: top && this.#unpackTop(bytes, step),
      };
    };
    return read();
  }

  #unpackTop(bytes: ArrayBuffer, step: StepShape): Chosen['logprobs'] {
    const pairs = new Uint32Array(bytes, 4 * this.#sequences);
    const values = new Float32Array(bytes, 4 * this.#sequences);
    const each = pairs.length / 2 / this.#sequences;
    const out: Chosen['logprobs'] = [];
    for (let row = 0; row < step.count; row++)
      out[step.next + row] = Array.from({ length: each }, (_, i) => {
        const at = 2 * (row * each + i);
        return { tokenId: pairs[at]!, logprob: values[at + 1]! };
      });
    return out;
  }
}

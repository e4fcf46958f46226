import type { Ledger } from '../gpu/buffer.ts';
import { type Dispatch, Recorder, type StepShape } from '../gpu/recorder.ts';
import { type Between, MAX_TOP, maskWords, SAMPLER_BYTES } from '../kernels/logits.ts';
import type { Logprobs, readTop } from '../kernels/logprobs.ts';
import { argmax, packSampler, type Sampler as SamplerOptions } from '../kernels/sample.ts';
import { adjust, sample } from '../kernels/sampling.ts';
import { inSlices, sliceBuffer } from '../kernels/slices.ts';
import { stride } from '../kernels/tensor.ts';
import { importModule } from '../lazy.ts';
import type { ForwardParts } from '../model/forward.ts';
import { isNarrow, notesAt, notesBytes } from './kv-range.ts';

/** Which kernels sample a token. */
export interface SamplingKind {
  /** The likeliest token. */
  greedy: boolean;
  /** Of logits with penalties, and with bias or mask where asked for. */
  adjusted: boolean;
  bias: boolean;
  mask: boolean;
  /** Log-probabilities of the sampled token and of this many of the likeliest; undefined for none. */
  top: number | undefined;
}

/** The likeliest token, as the model says it. */
export const GREEDY: SamplingKind = {
  greedy: true,
  adjusted: false,
  bias: false,
  mask: false,
  top: undefined,
};

/** The kind that serves several at once: what one of them does not ask for leaves its logits as they are. */
export function kindOfAll([first, ...others]: readonly SamplingKind[]): SamplingKind {
  let all = first ?? GREEDY;
  for (const kind of others)
    all = {
      greedy: all.greedy && kind.greedy,
      adjusted: all.adjusted || kind.adjusted,
      bias: all.bias || kind.bias,
      mask: all.mask || kind.mask,
      top: kind.top === undefined ? all.top : Math.max(all.top ?? 0, kind.top),
    };
  return all;
}

/** What one step sampled, by place in the next step's rows. */
export interface Sampled {
  tokens: Uint32Array;
  /** Pairs (token, log-probability), of which the last is the sampled token. */
  logprobs: Logprobs | undefined;
  /** `(sequences, 2)`: what did not fit an f16 KV cache, see kv-range.ts. */
  notes: Float32Array | undefined;
}

/** The launches that sample in one way, and where the log-probabilities come to be. */
export interface SamplingPass {
  dispatches: Dispatch[];
  top: { buffer: GPUBuffer; bytes: number; each: number; read: typeof readTop } | undefined;
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

/** What penalties, bias and mask read, and kernels leave for others, `(sequences, ...)`; made when first asked for, used by all. */
interface SamplingBuffers extends Partial<Record<Parameters<Between>[0], GPUBuffer>> {
  counts?: GPUBuffer;
  bias?: GPUBuffer;
  mask?: GPUBuffer;
  /** `(rows, stride(vocab))` */
  adjusted?: GPUBuffer;
  /** `(rows, MAX_TOP + 1)` pairs. */
  top?: GPUBuffer;
}

/** Has the next best kernels take the place of one that failed, which was recorded with these; false where there are none. */
export type Replace = (error: unknown, recorded: Pick<ForwardParts, 'gpu' | 'tuning'>) => Promise<boolean>;

/** Samples the token after each row whose logits are there, and brings it to the host. */
export class Sampler {
  readonly #parts: ForwardParts;
  readonly #ledger: Ledger;
  readonly #next: GPUBuffer;
  readonly #replace: Replace;
  readonly #sampled: GPUBuffer;
  /** By place in the next step's rows. */
  readonly #samplers: GPUBuffer;
  readonly #staging: GPUBuffer[] = [];
  readonly #passes = new Map<string, Promise<SamplingPass>>();
  readonly #buffers: SamplingBuffers = {};
  /** Sequences whose bias, or mask, changes logits. */
  readonly #changing = { bias: new Set<number>(), mask: new Set<number>() };
  #stagingAt = 0;

  /**
   * @param next rows of the next step, which sampled tokens are written into
   * @param inFlight most steps that are not read back yet
   */
  constructor(parts: ForwardParts, ledger: Ledger, next: GPUBuffer, inFlight: number, replace: Replace) {
    this.#parts = parts;
    this.#replace = replace;
    this.#ledger = ledger;
    this.#next = next;
    const { sequences } = parts.kv;
    this.#sampled = ledger.storage('sampled', 4 * sequences, 'scratch');
    this.#samplers = ledger.storage('samplers', SAMPLER_BYTES * sequences, 'scratch');
    const bytes = sequences * (4 + 8 * (MAX_TOP + 1)) + notesBytes(parts);
    for (let i = 0; i < inFlight; i++)
      this.#staging.push(
        ledger.buffer('read-back', bytes, 'scratch', GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST),
      );
    // Greedy replies need it from the start.
    const { logits } = parts.scratch;
    if (inSlices(parts.tuning, logits)) sliceBuffer({ logits, between: this.#between });
  }

  /** Compiles and binds a way to sample. */
  prepare(kind: SamplingKind): Promise<SamplingPass> {
    return once(this.#passes, JSON.stringify(kind), async () => {
      for (;;) {
        const { gpu, tuning } = this.#parts;
        try {
          return await this.#record(kind);
        } catch (error) {
          if (!(await this.#replace(error, { gpu, tuning }))) throw error;
        }
      }
    });
  }

  async #record(kind: SamplingKind): Promise<SamplingPass> {
    const { gpu, tuning, spec, scratch } = this.#parts;
    const { vocabSize } = spec;
    const { step } = scratch;
    const recorder = new Recorder(gpu);
    const call = {
      next: this.#next,
      sampled: this.#sampled,
      samplers: this.#samplers,
      step,
      between: this.#between,
    };
    let { logits } = scratch;
    if (kind.adjusted) {
      const adjusted = { buffer: this.#hold('adjusted', 4 * stride(vocabSize)), cols: vocabSize };
      adjust(tuning, recorder, {
        ...call,
        logits,
        adjusted,
        counts: this.#hold('counts', 4 * vocabSize),
        bias: kind.bias ? this.#hold('bias', 4 * vocabSize) : undefined,
        mask: kind.mask ? this.#masks() : undefined,
      });
      logits = adjusted;
    }
    const choice = { ...call, logits, adjusted: kind.adjusted };
    if (kind.greedy) argmax(tuning, recorder, choice);
    else sample(tuning, recorder, choice);
    if (kind.top === undefined) return { dispatches: await recorder.finish(), top: undefined };
    const each = kind.top + 1;
    const buffer = this.#hold('top', 8 * (MAX_TOP + 1));
    const { topLogprobs, readTop: read } = await importModule(() => import('../kernels/logprobs.ts'));
    topLogprobs(tuning, recorder, { ...call, logits: scratch.logits, top: kind.top, out: buffer });
    const top = { buffer, bytes: 8 * this.#parts.kv.sequences * each, each, read };
    return { dispatches: await recorder.finish(), top };
  }

  readonly #between: Between = (name, bytes) => this.#hold(name, bytes);

  /** A buffer of as many bytes for each sequence. */
  #hold(name: keyof SamplingBuffers, bytes: number): GPUBuffer {
    this.#buffers[name] ??= this.#ledger.storage(name, bytes * this.#parts.kv.sequences, 'scratch');
    return this.#buffers[name];
  }

  /** Masks `(sequences, maskWords(vocab))`, which at first forbid nothing. */
  #masks(): GPUBuffer {
    const { mask } = this.#buffers;
    if (mask) return mask;
    const { spec, kv } = this.#parts;
    const made = this.#hold('mask', 4 * maskWords(spec.vocabSize));
    for (let sequence = 0; sequence < kv.sequences; sequence++)
      this.#write('mask', sequence, this.#allowAll());
    return made;
  }

  #allowAll(): Uint32Array<ArrayBuffer> {
    return new Uint32Array(maskWords(this.#parts.spec.vocabSize)).fill(0xffffffff);
  }

  #write(name: 'counts' | 'bias' | 'mask', sequence: number, data: Uint32Array | Float32Array): void {
    this.#parts.gpu.device.queue.writeBuffer(
      this.#buffers[name]!,
      sequence * data.byteLength,
      data as Uint32Array<ArrayBuffer>,
    );
  }

  /** Sets how the row at a place of the next step's rows samples. */
  setSampler(place: number, options: SamplerOptions): void {
    this.#parts.gpu.device.queue.writeBuffer(this.#samplers, place * SAMPLER_BYTES, packSampler(options));
  }

  /** Sets what a sequence's logits are adjusted by, once its kind is prepared: `counts` and `bias` are `(vocab)`. */
  setAdjustments(
    sequence: number,
    kind: SamplingKind,
    { counts, bias }: { counts: Uint32Array; bias: Float32Array | undefined },
  ): void {
    const { vocabSize } = this.#parts.spec;
    if (kind.adjusted) this.#write('counts', sequence, counts);
    // What the sequence before left would adjust the logits of this one beside another that asks for it.
    if (bias) this.#write('bias', sequence, bias);
    else if (this.#changing.bias.has(sequence)) this.#write('bias', sequence, new Float32Array(vocabSize));
    if (this.#changing.mask.delete(sequence)) this.#write('mask', sequence, this.#allowAll());
    if (bias) this.#changing.bias.add(sequence);
    else this.#changing.bias.delete(sequence);
  }

  /** Sets the tokens a sequence may have next: `(maskWords(vocab))`, a bit a token. */
  setMask(sequence: number, mask: Uint32Array): void {
    this.#changing.mask.add(sequence);
    this.#write('mask', sequence, mask);
  }

  /** Submits a step that samples; the promise is of its read-back. */
  take(
    { dispatches, top }: SamplingPass,
    step: StepShape,
    submit: (dispatches: Dispatch[], after: (encoder: GPUCommandEncoder) => void) => void,
  ): Promise<Sampled> {
    const staging = this.#staging[this.#stagingAt++ % this.#staging.length]!;
    const parts = this.#parts;
    const { sequences } = parts.kv;
    const tokenBytes = 4 * sequences;
    const noted = tokenBytes + (top?.bytes ?? 0);
    const noteBytes = isNarrow(parts) ? notesBytes(parts) : 0;
    submit(dispatches, (encoder) => {
      encoder.copyBufferToBuffer(this.#sampled, 0, staging, 0, tokenBytes);
      if (top) encoder.copyBufferToBuffer(top.buffer, 0, staging, tokenBytes, top.bytes);
      if (noteBytes > 0)
        encoder.copyBufferToBuffer(parts.scratch.q, notesAt(parts), staging, noted, noteBytes);
    });
    const read = async (): Promise<Sampled> => {
      const all = noted + noteBytes;
      await parts.gpu.readBack.told(staging.mapAsync(GPUMapMode.READ, 0, all));
      const bytes = staging.getMappedRange(0, all).slice(0);
      staging.unmap();
      const { count, next } = step;
      return {
        tokens: new Uint32Array(bytes, 0, sequences),
        logprobs: top?.read(bytes, tokenBytes, { each: top.each, count, next }),
        notes: noteBytes > 0 ? new Float32Array(bytes, noted, 2 * sequences) : undefined,
      };
    };
    return read();
  }
}

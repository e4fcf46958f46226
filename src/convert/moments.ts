import type { Runner } from '../engine/runner.ts';
import { ShishuError } from '../errors.ts';
import { guardMemory, readBuffer } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/device.ts';
import { type Dispatch, Recorder } from '../gpu/recorder.ts';
import { gatherInputs } from '../kernels/inputs.ts';
import { addMoments, type MomentBuffers, momentBytes } from '../kernels/moments.ts';
import { norm } from '../kernels/norm.ts';
import { stride } from '../kernels/tensor.ts';
import type { Plan } from '../model/spec.ts';
import { beforeMixer, behindMixer, encodePass, type HookPoint, keepStates, type Stack } from './stack.ts';

/**
 * Sums over tokens of all that a least-squares map from z to a needs: z = x / rms(x), a block's normalised input, or those of the
 * last few positions `(dz)`, and a, its attention's output without the residual `(d)`. Row-major.
 */
export interface Moments {
  d: number;
  /** Tokens. */
  n: number;
  z: Float64Array;
  a: Float64Array;
  /** Sum of z z' `(dz, dz)`. Only its lower triangle counts. */
  G: Float64Array;
  /** Sum of a z' `(d, dz)`. */
  C: Float64Array;
  /** Sum of |a|^2. */
  aa: number;
}

/** Most layers whose sums take at most `budget` bytes on the GPU, but one at least. */
export const layersWithin = (budget: number, d: number, dz = d): number =>
  Math.max(1, Math.floor(budget / Object.values(momentBytes(d, dz)).reduce((sum, bytes) => sum + bytes)));

/** Sums moments of some layers on the GPU. z and a are f32, as the forward has them: z is just what a linear map gets. */
export class MomentSums {
  readonly #runner: Runner;
  readonly #inputs: number;
  readonly #held: GPUBuffer[] = [];
  readonly #sums = new Map<number, { buffers: MomentBuffers; normalise: Dispatch[]; add: Dispatch[] }>();
  /** Of a whole window, by position. */
  #before!: GPUBuffer;
  #after!: GPUBuffer;
  #tokens = 0;

  private constructor(runner: Runner, inputs: number) {
    this.#runner = runner;
    this.#inputs = inputs;
  }

  /**
   * @param rows of the stack that is run
   * @param inputs positions that z is of
   * @throws ShishuError `does-not-fit` when a matrix of sums is larger than the GPU can bind, `out-of-memory`
   */
  static async make(
    runner: Runner,
    rows: GPUBuffer,
    layers: readonly number[],
    inputs = 1,
  ): Promise<MomentSums> {
    const sums = new MomentSums(runner, inputs);
    try {
      await sums.#allocate(rows, layers);
      return sums;
    } catch (error) {
      sums.close();
      throw error;
    }
  }

  async #allocate(rows: GPUBuffer, layers: readonly number[]): Promise<void> {
    const { parts, ledger } = this.#runner;
    const { gpu, tuning, spec, scratch, kv } = parts;
    const { x, step } = scratch;
    const d = spec.hiddenSize;
    const rowBytes = 4 * stride(d);
    const make = (label: string, bytes: number): GPUBuffer => {
      const buffer = ledger.storage(label, bytes, 'scratch');
      this.#held.push(buffer);
      return buffer;
    };
    const inputs = this.#inputs;
    const dz = inputs * d;
    const { z, all, buffers } = await guardMemory(gpu, 'the sums of calibration', () => {
      this.#before = make('x before', kv.context * rowBytes);
      this.#after = make('x after', kv.context * rowBytes);
      const z = make('z', scratch.rows * rowBytes);
      return {
        z,
        all: inputs === 1 ? z : make('z of several positions', 4 * scratch.rows * stride(dz)),
        buffers: layers.map((layer) => ({
          layer,
          to: allocate(gpu, [d, dz], layer, make),
          seen: inputs === 1 ? undefined : make(`block ${layer} inputs`, kv.context * rowBytes),
        })),
      };
    });
    const record = (add: (recorder: Recorder) => void): Promise<Dispatch[]> => {
      const recorder = new Recorder(gpu);
      add(recorder);
      return recorder.finish();
    };
    const [before, after] = [this.#before, this.#after];
    for (const { layer, to, seen } of buffers) {
      const normalise = await record((recorder) => {
        const normed = { label: 'z', x, out: z, eps: spec.rmsNormEps, head: false, step };
        norm(gpu, tuning, recorder, normed);
        if (!seen) return;
        const own = { buffer: z, cols: d };
        const { context } = kv;
        const ring = { seen, sequences: 1, context, capacity: context };
        gatherInputs(recorder, { z: own, inputs, ...ring, rows, out: all, width: 'many', step });
      });
      const add = await record((recorder) =>
        addMoments(recorder, { d, dz, z: all, before, after, rows, to, step }),
      );
      this.#sums.set(layer, { buffers: to, normalise, add });
    }
  }

  /** Keeps the hidden states at a point as those before a layer's mixer, and makes z of them. */
  before(point: HookPoint, layer: number): void {
    keepStates(this.#runner.parts, point, this.#before);
    encodePass(point.encoder, this.#sums.get(layer)!.normalise, point.step);
  }

  /** Keeps the hidden states at a point as those behind the mixer. */
  after(point: HookPoint): void {
    keepStates(this.#runner.parts, point, this.#after);
  }

  /** Takes the hidden states of a whole window as those behind the mixer. */
  afterOf(encoder: GPUCommandEncoder, states: GPUBuffer, tokens: number): void {
    encoder.copyBufferToBuffer(
      states,
      0,
      this.#after,
      0,
      4 * tokens * stride(this.#runner.parts.spec.hiddenSize),
    );
  }

  /** Adds the rows of a step to the sums of a layer: z as last made, and what is behind the mixer less what is before it. */
  add({ encoder, step }: HookPoint, layer: number): void {
    encodePass(encoder, this.#sums.get(layer)!.add, step);
  }

  /** As many tokens were added to each layer. */
  count(tokens: number): void {
    this.#tokens += tokens;
  }

  /**
   * The moments by layer since the last call, with errors of about 2^-42 of what was added.
   * @throws ShishuError `bad-argument` when a value was NaN, infinite or beyond 2^50
   */
  async take(): Promise<Map<number, Moments>> {
    const { gpu, spec } = this.#runner.parts;
    const d = spec.hiddenSize;
    const moments = new Map<number, Moments>();
    for (const [layer, { buffers }] of this.#sums)
      moments.set(layer, await read(gpu, [d, this.#inputs * d], this.#tokens, layer, buffers));
    const encoder = gpu.device.createCommandEncoder();
    for (const { buffers } of this.#sums.values())
      for (const buffer of Object.values(buffers)) encoder.clearBuffer(buffer);
    gpu.device.queue.submit([encoder.finish()]);
    this.#tokens = 0;
    return moments;
  }

  close(): void {
    for (const buffer of this.#held) this.#runner.ledger.release(buffer);
  }
}

/** Adds a window to the sums of layers, ascending, each on what the plan itself gives it. */
export async function addWindow(
  sums: MomentSums,
  stack: Stack,
  plan: Plan,
  layers: readonly number[],
  window: readonly number[],
): Promise<void> {
  await stack.run(window, plan, {
    to: behindMixer(layers.at(-1)!),
    places: layers.flatMap((layer) => [beforeMixer(layer), behindMixer(layer)]),
    hook(point) {
      if (point.place % 2 === 0) {
        sums.before(point, point.place / 2);
        return;
      }
      sums.after(point);
      sums.add(point, (point.place - 1) / 2);
    },
  });
  sums.count(window.length);
}

function allocate(
  gpu: Gpu,
  [d, dz]: readonly [number, number],
  layer: number,
  make: (label: string, bytes: number) => GPUBuffer,
): MomentBuffers {
  const bytes = momentBytes(d, dz);
  if (bytes.G > gpu.limits.binding)
    throw new ShishuError(
      'does-not-fit',
      `The sums of a block of ${dz} inputs need ${bytes.G} bytes, the GPU binds at most ${gpu.limits.binding}.`,
      {
        details: { hiddenSize: d, inputs: dz, bytes: bytes.G, limit: gpu.limits.binding },
        mend:
          dz > d ? 'Have maps see fewer positions.' : 'Fit no linear maps of this model, or use another GPU.',
      },
    );
  const of = (name: keyof MomentBuffers): GPUBuffer => make(`block ${layer} ${name}`, bytes[name]);
  return { G: of('G'), C: of('C'), vectors: of('vectors'), odd: of('odd') };
}

async function read(
  gpu: Gpu,
  [d, dz]: readonly [number, number],
  n: number,
  layer: number,
  buffers: MomentBuffers,
): Promise<Moments> {
  const [odd] = new Uint32Array(await readBuffer(gpu, buffers.odd, 0, 4));
  if (odd !== 0) {
    const where = `block ${layer}, position ${~odd! >>> 0}`;
    throw new ShishuError('bad-argument', `A value in ${where} is NaN, infinite or beyond 2^50.`, {
      details: { where },
      mend: 'Load the parent as f32, or check its weights.',
    });
  }
  const [padded, wide] = [stride(d), stride(dz)];
  /** `(rows, cols)` of the pairs from `first` on, of a matrix or vector of `size` f32 with its padding. */
  const unpack = (
    pairs: Float32Array,
    [rows, cols]: readonly [number, number],
    { first = 0, size }: { first?: number; size: number },
  ): Float64Array => {
    const values = new Float64Array(rows * cols);
    const row = stride(cols);
    for (let r = 0; r < rows; r++)
      for (let c = 0; c < cols; c++) {
        const at = first + r * row + c;
        values[r * cols + c] = pairs[at]! + pairs[at + size]!;
      }
    return values;
  };
  const floats = async (buffer: GPUBuffer): Promise<Float32Array> =>
    new Float32Array(await readBuffer(gpu, buffer));
  const vectors = await floats(buffers.vectors);
  const squares = unpack(vectors, [1, d], { first: 2 * (wide + padded), size: padded });
  return {
    d,
    n,
    z: unpack(vectors, [1, dz], { size: wide }),
    a: unpack(vectors, [1, d], { first: 2 * wide, size: padded }),
    G: unpack(await floats(buffers.G), [dz, dz], { size: wide * wide }),
    C: unpack(await floats(buffers.C), [d, dz], { size: padded * wide }),
    aa: squares.reduce((sum, value) => sum + value, 0),
  };
}

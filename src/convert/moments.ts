import type { Runner } from '../engine/runner.ts';
import { ShishuError } from '../errors.ts';
import { guardMemory, readBuffer } from '../gpu/buffer.ts';
import { type Gpu, throwIfLost } from '../gpu/device.ts';
import { type Dispatch, Recorder } from '../gpu/recorder.ts';
import { addMoments, type MomentBuffers, momentBytes } from '../kernels/moments.ts';
import { norm } from '../kernels/norm.ts';
import { stride } from '../kernels/tensor.ts';
import type { Plan } from '../model/spec.ts';
import { encodePass, type HookedForward, type HookPoint, makeHookedForward } from './hooks.ts';

/**
 * Sums over tokens of all that a least-squares map from z to a needs: z = x / rms(x), a block's normalised input, and a, its
 * attention's output without the residual. All `(d)` or `(d, d)` row-major.
 */
export interface Moments {
  d: number;
  /** Tokens. */
  n: number;
  z: Float64Array;
  a: Float64Array;
  /** Sum of z z'. Only its lower triangle counts. */
  G: Float64Array;
  /** Sum of a z'. */
  C: Float64Array;
  /** Sum of |a|^2. */
  aa: number;
}

/** Sums moments of some blocks on the GPU. */
export interface Accumulator {
  /** Adds the tokens of a window. */
  run(window: readonly number[]): Promise<void>;
  /**
   * The moments by layer since the last call, with errors of about 2^-42 of what was added.
   * @throws ShishuError `bad-argument` when a value was NaN, infinite or beyond 2^50
   */
  take(): Promise<Map<number, Moments>>;
  close(): void;
}

/** Most layers whose sums take at most `budget` bytes on the GPU, but one at least. */
export const layersWithin = (budget: number, d: number): number =>
  Math.max(1, Math.floor(budget / Object.values(momentBytes(d)).reduce((sum, bytes) => sum + bytes)));

/**
 * Makes an accumulator of a plan's layers. z and a are f32, as the forward has them: z is just what a linear map gets.
 * @param layers ascending; one alone with a student, for a is kept of one until the student has run
 * @param student plan that z is taken from, where it is not `plan`, which a is of
 * @throws ShishuError `does-not-fit` when a matrix of sums is larger than the GPU can bind
 */
export async function makeAccumulator(
  runner: Runner,
  plan: Plan,
  layers: readonly number[],
  student?: Plan,
): Promise<Accumulator> {
  const { parts, ledger } = runner;
  const { gpu, tuning, spec, scratch, kv } = parts;
  const { x, step } = scratch;
  const d = spec.hiddenSize;
  const rowBytes = 4 * stride(d);
  const held: GPUBuffer[] = [];
  const make = (label: string, bytes: number): GPUBuffer => {
    const buffer = ledger.storage(label, bytes, 'scratch');
    held.push(buffer);
    return buffer;
  };
  const forwards: HookedForward[] = [];
  const close = (): void => {
    for (const forward of forwards) forward.close();
    for (const buffer of held) ledger.release(buffer);
  };
  try {
    forwards.push(await makeHookedForward(runner, plan, layers));
    if (student) forwards.push(await makeHookedForward(runner, student, layers));
    const last = forwards.at(-1)!;
    const { z, before, after, sums } = await guardMemory(gpu, 'the sums of calibration', () => ({
      z: make('z', scratch.rows * rowBytes),
      // Of a whole window: the student's run follows the teacher's.
      before: make('x before', kv.context * rowBytes),
      after: make('x after', kv.context * rowBytes),
      sums: new Map(layers.map((layer) => [layer, allocate(gpu, d, layer, make)] as const)),
    }));
    const record = (add: (recorder: Recorder) => void): Promise<Dispatch[]> => {
      const recorder = new Recorder(gpu);
      add(recorder);
      return recorder.finish();
    };
    const normalise = await record((recorder) =>
      norm(gpu, tuning, recorder, {
        label: 'z',
        x,
        out: z,
        eps: spec.rmsNormEps,
        head: false,
        step,
      }),
    );
    const additions = new Map<number, Dispatch[]>();
    for (const [layer, to] of sums) {
      const call = { d, z, before, after, rows: last.rows, to, step };
      additions.set(layer, await record((recorder) => addMoments(recorder, call)));
    }
    const keep = ({ encoder, step: { rows }, position }: HookPoint, to: GPUBuffer): void =>
      encoder.copyBufferToBuffer(x.buffer, 0, to, position * rowBytes, rows * rowBytes);
    const sum = ({ encoder, layer, step }: HookPoint): void =>
      encodePass(encoder, additions.get(layer)!, step);
    let n = 0;
    return {
      async run(window) {
        n += window.length;
        await forwards[0]!.run(window, (point) => {
          keep(point, point.after ? after : before);
          if (student) return;
          if (point.after) sum(point);
          else encodePass(point.encoder, normalise, point.step);
        });
        await forwards[1]?.run(window, (point) => {
          if (point.after) return;
          encodePass(point.encoder, normalise, point.step);
          sum(point);
        });
        // Else all windows would queue up at once.
        await gpu.readBack.told(gpu.device.queue.onSubmittedWorkDone());
        throwIfLost(gpu);
      },
      async take() {
        const moments = new Map<number, Moments>();
        for (const [layer, buffers] of sums) moments.set(layer, await read(gpu, d, n, layer, buffers));
        const encoder = gpu.device.createCommandEncoder();
        for (const buffers of sums.values())
          for (const buffer of Object.values(buffers)) encoder.clearBuffer(buffer);
        gpu.device.queue.submit([encoder.finish()]);
        n = 0;
        return moments;
      },
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

function allocate(
  gpu: Gpu,
  d: number,
  layer: number,
  make: (label: string, bytes: number) => GPUBuffer,
): MomentBuffers {
  const bytes = momentBytes(d);
  if (bytes.G > gpu.limits.binding)
    throw new ShishuError(
      'does-not-fit',
      `The sums of a block of hidden size ${d} need ${bytes.G} bytes, the GPU binds at most ${gpu.limits.binding}.`,
      {
        details: { hiddenSize: d, bytes: bytes.G, limit: gpu.limits.binding },
        mend: 'Fit no linear maps of this model, or use another GPU.',
      },
    );
  const of = (name: keyof MomentBuffers): GPUBuffer => make(`block ${layer} ${name}`, bytes[name]);
  return { G: of('G'), C: of('C'), vectors: of('vectors'), odd: of('odd') };
}

async function read(gpu: Gpu, d: number, n: number, layer: number, buffers: MomentBuffers): Promise<Moments> {
  const [odd] = new Uint32Array(await readBuffer(gpu, buffers.odd, 0, 4));
  if (odd !== 0) {
    const where = `block ${layer}, position ${~odd! >>> 0}`;
    throw new ShishuError('bad-argument', `A value in ${where} is NaN, infinite or beyond 2^50.`, {
      details: { where },
      mend: 'Load the parent as f32, or check its weights.',
    });
  }
  const padded = stride(d);
  /** `(rows, d)` of the pairs from `first` on, of a matrix or vector of `size` f32 with its padding. */
  const unpack = (pairs: Float32Array, rows: number, first: number, size: number): Float64Array => {
    const values = new Float64Array(rows * d);
    for (let r = 0; r < rows; r++)
      for (let c = 0; c < d; c++) {
        const at = first + r * padded + c;
        values[r * d + c] = pairs[at]! + pairs[at + size]!;
      }
    return values;
  };
  const floats = async (buffer: GPUBuffer): Promise<Float32Array> =>
    new Float32Array(await readBuffer(gpu, buffer));
  const vectors = await floats(buffers.vectors);
  const [z, a, squares] = [0, 1, 2].map((i) => unpack(vectors, 1, 2 * i * padded, padded));
  return {
    d,
    n,
    z: z!,
    a: a!,
    G: unpack(await floats(buffers.G), d, 0, padded * padded),
    C: unpack(await floats(buffers.C), d, 0, padded * padded),
    aa: squares!.reduce((sum, value) => sum + value, 0),
  };
}

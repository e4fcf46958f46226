import { expect } from 'vitest';
import { guardMemory, Ledger, readBuffer } from '../../src/gpu/buffer.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { encode, Recorder, type StepShape, writeStep } from '../../src/gpu/recorder.ts';
import { type Between, betweenOf } from '../../src/kernels/logits.ts';
import {
  type Activations,
  gainRange,
  gainSize,
  rowBytes,
  stride,
  type Weight,
} from '../../src/kernels/tensor.ts';
import { packerOf, padRows } from '../../src/model/pack.ts';
import type { ValueDtype } from '../../src/quant/index.ts';
import { mulberry32 } from './random.ts';
import { runTwins } from './twin-check.ts';

export type Floats = Float32Array<ArrayBuffer>;

/** One launcher call: its launches, and what to look at once they ran; without that each is held against its CPU twin. */
export interface Case {
  step: Partial<StepShape>;
  record(recorder: Recorder, step: GPUBuffer): void;
  check?(): Promise<void>;
}

export interface RowSpec {
  token?: number;
  sequence?: number;
  position?: number;
}

/** What no kernel may write over: the row after the last. */
const GUARD = 777;

/** Asserts that values are equal to within `tolerance` times the greatest expected magnitude. */
export function expectClose(
  found: ArrayLike<number>,
  expected: ArrayLike<number>,
  label: string,
  tolerance = 2e-5,
): void {
  expect(found.length, label).toBe(expected.length);
  let spread = 1e-30;
  for (let i = 0; i < expected.length; i++) spread = Math.max(spread, Math.abs(expected[i]!));
  for (let i = 0; i < found.length; i++)
    if (!(Math.abs(found[i]! - expected[i]!) <= tolerance * spread))
      expect.fail(`${label}: element ${i} is ${found[i]}, expected ${expected[i]} (largest ${spread}).`);
}

/** Makes kernel inputs on one GPU, runs launches, compares what they wrote. */
export class Rig {
  readonly gpu: Gpu;
  readonly ledger: Ledger;
  readonly #random = mulberry32(20_13860);

  constructor(gpu: Gpu) {
    this.gpu = gpu;
    this.ledger = new Ledger(gpu);
  }

  /** Uniform in -1..1. */
  floats(length: number): Floats {
    return Float32Array.from({ length }, () => 2 * this.#random() - 1);
  }

  upload(label: string, data: ArrayBufferView<ArrayBuffer>): GPUBuffer {
    const buffer = this.ledger.storage(label, data.byteLength, 'scratch');
    this.gpu.device.queue.writeBuffer(buffer, 0, data);
    return buffer;
  }

  /** Rows `(rows, cols)`, padded. */
  activations(values: Floats, cols: number): Activations {
    return { buffer: this.upload('x', padRows(values, cols)), cols };
  }

  /** Room for rows `(rows, cols)`, holding `initial` or zeros, with a guard row behind. */
  output(rows: number, cols: number, initial: Floats = new Float32Array(rows * cols)): Activations {
    const padded = stride(cols);
    const all = new Float32Array((rows + 1) * padded).fill(GUARD, rows * padded);
    all.set(padRows(initial, cols));
    return { buffer: this.upload('out', all), cols };
  }

  /** What kernels leave for others, of so many rows. */
  between(rows: number): Between {
    return betweenOf((label, bytes) => this.ledger.storage(label, bytes * rows, 'scratch'));
  }

  rows(specs: readonly RowSpec[]): GPUBuffer {
    const words = specs.flatMap(({ token = 0, sequence = 0, position = 0 }) => [
      token,
      sequence,
      position,
      0,
    ]);
    return this.upload('rows', new Uint32Array(words));
  }

  /** A random weight, split by the GPU's binding limit; `halves` puts equal shares of both halves of the rows in each part. */
  weight(spec: {
    rows: number;
    cols: number;
    dtype: ValueDtype;
    unit?: number;
    halves?: boolean;
    gain?: boolean | Floats;
    bias?: boolean;
  }): Weight {
    const { rows, cols, dtype, unit = 4, halves = false } = spec;
    const source = this.floats(rows * cols);
    const gain = spec.gain === true ? this.floats(cols) : spec.gain || undefined;
    const bias = spec.bias ? this.floats(rows) : undefined;
    const weight: Weight = { rows, cols, parts: [], hasGain: !!gain, hasBias: !!bias };
    const { binding } = this.gpu.limits;
    const most = Math.max(unit, Math.floor(binding / rowBytes(dtype, cols).codes / unit) * unit);
    for (let row0 = 0; row0 < rows; row0 += most) {
      const count = Math.min(most, rows - row0);
      const from = (r: number): number => {
        if (!halves) return row0 + r;
        return r < count / 2 ? row0 / 2 + r : rows / 2 + row0 / 2 + r - count / 2;
      };
      const picked = new Float32Array(count * cols);
      for (let r = 0; r < count; r++)
        picked.set(source.subarray(from(r) * cols, (from(r) + 1) * cols), r * cols);
      const packed = packerOf(dtype)(picked, cols, 'test');
      const start = gain ? gainSize(cols) : 0;
      const vectors = new Float32Array(start + (bias ? count : 0));
      if (gain) {
        vectors.set(gain);
        vectors[stride(cols)] = gainRange(gain);
      }
      if (bias) for (let r = 0; r < count; r++) vectors[start + r] = bias[from(r)]!;
      weight.parts.push({
        row0,
        rows: count,
        dtype,
        codes: this.upload('codes', packed.codes),
        scales: packed.scales && this.upload('scales', packed.scales),
        vectors: vectors.length ? this.upload('vectors', vectors) : undefined,
      });
    }
    return weight;
  }

  /** Compiles the launches of all cases, then runs and checks each. */
  async run(cases: readonly Case[]): Promise<void> {
    const { device } = this.gpu;
    const steps = cases.map(({ step }) => ({ rows: 0, first: 0, count: 0, next: 0, context: 1, ...step }));
    const lists = await Promise.all(
      cases.map((one, i) => {
        const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
        const buffer = this.ledger.buffer('step', 16, 'scratch', usage);
        writeStep(this.gpu, buffer, steps[i]!);
        const recorder = new Recorder(this.gpu);
        one.record(recorder, buffer);
        return recorder.finish();
      }),
    );
    for (const [i, { check }] of cases.entries()) {
      if (!check) await runTwins(this.gpu, lists[i]!, steps[i]!);
      else {
        await guardMemory(this.gpu, 'a test', () => {
          const encoder = device.createCommandEncoder();
          const pass = encoder.beginComputePass();
          encode(pass, lists[i]!, steps[i]!);
          pass.end();
          device.queue.submit([encoder.finish()]);
        });
        await check();
      }
    }
    this.ledger.releaseAll();
  }

  async floatsOf(buffer: GPUBuffer): Promise<Floats> {
    return new Float32Array(await readBuffer(this.gpu, buffer));
  }

  async wordsOf(buffer: GPUBuffer, count: number): Promise<number[]> {
    return [...new Uint32Array(await readBuffer(this.gpu, buffer, 0, 4 * count))];
  }
}

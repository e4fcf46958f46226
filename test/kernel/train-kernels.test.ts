// Kernels of training as a trainer calls them: what their twins' odd sizes don't have.
import { afterAll, expect, test } from 'vitest';
import { Ledger, readBuffer } from '../../src/gpu/buffer.ts';
import { encode, Recorder } from '../../src/gpu/recorder.ts';
import {
  adamW,
  clip,
  FACTOR_AT,
  HYPER_SIZE,
  NORM_AT,
  packHyper,
  SUM_PARTS,
  sumOfSquares,
} from '../../src/train/kernels/adamw.ts';
import { hiddenLoss, rowLoss } from '../../src/train/kernels/loss.ts';
import { matmul } from '../../src/train/kernels/matmul.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { mulberry32 } from '../support/random.ts';

const gpu = await openTestGpu();
const ledger = new Ledger(gpu);
afterAll(() => ledger.releaseAll());

const held = (data: Float32Array | Uint32Array): GPUBuffer => ledger.from('test', data, 'scratch');
const read = async (buffer: GPUBuffer, count: number): Promise<Float32Array> =>
  new Float32Array(await readBuffer(gpu, buffer, 0, 4 * count));

async function run(record: (recorder: Recorder) => void): Promise<void> {
  const recorder = new Recorder(gpu);
  record(recorder);
  const dispatches = await recorder.finish();
  const encoder = gpu.device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  encode(pass, dispatches, { rows: 0, first: 0, count: 0, next: 0, context: 0 });
  pass.end();
  gpu.device.queue.submit([encoder.finish()]);
}

const random = mulberry32(5);
const numbers = (count: number, by = 1): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: count }, () => by * (2 * random() - 1));

test('the loss of large logits over a large vocabulary is stable, and a row without weight is not read', async () => {
  const vocab = 262_144;
  const rows = 2;
  const logits = numbers(rows * vocab, 1e4);
  logits.fill(Number.NaN, vocab);
  // Rows that are sure of one token, and not of the same one.
  logits[7] = 2e4;
  const teacher = numbers(rows * vocab, 1e4);
  teacher[9] = 3e4;
  const [before, losses] = [held(logits), held(new Float32Array(rows))];
  await run((recorder) =>
    rowLoss(recorder, {
      logits: before,
      teacher: held(teacher),
      targets: held(Uint32Array.of(11, 0)),
      weights: held(Float32Array.of(0.5, 0)),
      mix: 0.75,
      rows,
      vocab,
      losses,
    }),
  );
  const wanted = 0.75 * (2e4 - logits[9]!) + 0.25 * (2e4 - logits[11]!);
  const [loss, none] = await read(losses, rows);
  expect(loss! / (0.5 * wanted)).toBeCloseTo(1, 5);
  expect(none).toBe(0);
  const slopes = await read(before, rows * vocab);
  expect(slopes.every(Number.isFinite)).toBe(true);
  expect([slopes[7], slopes[9], slopes[11]].map((slope) => slope!.toFixed(5))).toEqual([
    '0.50000',
    '-0.37500',
    '-0.12500',
  ]);
  expect(slopes.subarray(vocab).every((slope) => slope === 0)).toBe(true);
});

test('the gradient of the loss of hidden states is its finite differences', async () => {
  const hidden = 24;
  const [student, teacher] = [numbers(hidden), numbers(hidden)];
  const lossAt = (states: Float32Array): number => {
    const squares = (of: (i: number) => number): number => states.reduce((sum, _, i) => sum + of(i) ** 2, 0);
    return (0.3 * squares((i) => states[i]! - teacher[i]!)) / squares((i) => teacher[i]!);
  };
  const [gradient, losses] = [held(new Float32Array(hidden)), held(new Float32Array(1))];
  await run((recorder) =>
    hiddenLoss(recorder, {
      student: held(student),
      teacher: held(teacher),
      weights: held(Float32Array.of(0.3)),
      rows: 1,
      hidden,
      gradient,
      losses,
    }),
  );
  expect((await read(losses, 1))[0]).toBeCloseTo(lossAt(student), 5);
  const found = await read(gradient, hidden);
  for (let i = 0; i < hidden; i++) {
    const [up, down] = [1e-3, -1e-3].map((by) =>
      lossAt(student.map((value, j) => value + (i === j ? by : 0))),
    );
    expect(found[i]).toBeCloseTo((up! - down!) / 2e-3, 4);
  }
});

test('a gradient is shortened to the largest norm; one that is not finite changes nothing', async () => {
  const count = 1000;
  const [weights, gradient] = [numbers(count), numbers(count)];
  const step = { rate: 0.01, step: 1, decay: 0.1, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, mostNorm: 2 };
  const once = async (gradients: Float32Array): Promise<{ hyper: Float32Array; after: Float32Array }> => {
    const packed = new Float32Array(HYPER_SIZE);
    packed.set(packHyper(step));
    const [hyper, own, slopes] = [packed, weights, gradients].map(held) as [GPUBuffer, GPUBuffer, GPUBuffer];
    const [first, second, sums] = [count, count, 2 * SUM_PARTS].map((size) => held(new Float32Array(size)));
    await run((recorder) => {
      for (const slot of [0, 1])
        sumOfSquares(recorder, {
          x: { buffer: slopes, offset: 512 * slot },
          count: slot ? count - 512 : 512,
          into: sums!,
          slot,
        });
      clip(recorder, { sums: sums!, slots: 2, hyper });
      adamW(recorder, { weights: own, gradient: slopes, first: first!, second: second!, count, hyper });
    });
    return { hyper: await read(hyper, HYPER_SIZE), after: await read(own, count) };
  };
  const norm = Math.hypot(...gradient);
  const good = await once(gradient);
  expect(good.hyper[NORM_AT]! / norm).toBeCloseTo(1, 5);
  expect((good.hyper[FACTOR_AT]! * norm) / 2).toBeCloseTo(1, 5);
  for (let i = 0; i < count; i++) {
    // Of the first step the moments are the gradient's own: its sign decides.
    const moved = weights[i]! * (1 - 0.001) - 0.01 * Math.sign(gradient[i]!);
    expect(Math.abs(good.after[i]! - moved)).toBeLessThan(1e-5);
  }
  for (const odd of [Number.NaN, Number.POSITIVE_INFINITY, 3e38]) {
    const { hyper, after } = await once(gradient.map((value, i) => (i === 700 ? odd : value)));
    expect(hyper[FACTOR_AT]).toBe(0);
    expect(after).toEqual(weights);
  }
});

test('what cannot be bound, or has no teacher, is refused', () => {
  const recorder = new Recorder(gpu);
  const any = held(new Float32Array(256));
  const refused = expect.objectContaining({ code: 'bad-argument' });
  const sizes = { m: 2, n: 3, k: 5 };
  expect(() =>
    matmul(recorder, { kind: 'nt', a: { buffer: any, offset: 3 }, b: any, out: any, ...sizes }),
  ).toThrow(refused);
  expect(() => matmul(recorder, { kind: 'nt', a: any, b: any, out: any, ...sizes, half: true })).toThrow(
    refused,
  );
  const loss = { logits: any, targets: any, weights: any, rows: 1, vocab: 4, losses: any };
  expect(() => rowLoss(recorder, { ...loss, mix: 0.5 })).toThrow(refused);
});

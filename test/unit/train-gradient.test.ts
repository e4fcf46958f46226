// Backward kernels against finite differences of what their forward computes, by the CPU twins, in f64; and what training begins with.
import { describe, expect, it } from 'vitest';
import { specOf } from '../../src/families/index.ts';
import type { Kernel, ShaderSpec, TwinLaunch } from '../../src/gpu/kernel.ts';
import { all, twinLaunch } from '../../src/kernels/twin.ts';
import { initialWeights } from '../../src/train/initial.ts';
import { ATTENTION_KEYS, ATTENTION_QUERIES, TRAIN_ATTENTION } from '../../src/train/kernels/attention.ts';
import { COLUMN_SUMS } from '../../src/train/kernels/columns.ts';
import { GATHER, runsOf, SCATTER } from '../../src/train/kernels/embed.ts';
import { HIDDEN_LOSS, ROW_LOSS } from '../../src/train/kernels/loss.ts';

import { NORM_BACKWARD, TRAIN_NORM } from '../../src/train/kernels/norm.ts';
import { TRAIN_ROPE } from '../../src/train/kernels/rope.ts';
import { SWIGLU, SWIGLU_BACKWARD } from '../../src/train/kernels/swiglu.ts';
import { learningRateAt } from '../../src/train/optimizer.ts';
import { randomFrom } from '../../src/train/random.ts';
import { checkTrainable } from '../../src/train/trainable.ts';

type Numbers = Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;
type Held = Record<string, Numbers>;

const random = randomFrom(11);
const floats = (count: number, scale = 1): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: count }, () => scale * (2 * random() - 1));

/** What a twin leaves of f64, by binding; what it does not write stays. */
function left(kernel: Kernel, fixed: Record<string, number | boolean | string>, held: Held, items = 0) {
  const imports = Object.fromEntries(Object.entries(fixed).filter(([, value]) => typeof value === 'string'));
  const constants = Object.fromEntries(
    Object.entries(fixed).filter(([, value]) => typeof value !== 'string'),
  );
  const spec = { kernel, imports, constants } as ShaderSpec;
  const bytes: TwinLaunch['bytes'] = (name, at, size) => held[name]!.buffer.slice(at, at + size);
  const step = { rows: 0, first: 0, count: 0, next: 0, context: 0 };
  const out: Record<string, Float64Array> = {};
  for (const { binding, at, value } of kernel.cpu(twinLaunch(spec, { step, items, bytes, pick: all }))) {
    out[binding] ??= Float64Array.from(held[binding]!);
    out[binding][at] = value;
  }
  return out;
}

/** Asserts gradients of a number that is computed of what is held. */
function expectGradients(
  held: Held,
  compute: () => number,
  gradients: Record<string, ArrayLike<number>>,
): void {
  for (const [name, gradient] of Object.entries(gradients)) {
    const data = held[name]!;
    expect(gradient.length, name).toBe(data.length);
    for (let i = 0; i < data.length; i++) {
      const was = data[i]!;
      data[i] = was + 2 ** -9;
      const [above, high] = [compute(), data[i]!];
      data[i] = was - 2 ** -9;
      const [below, low] = [compute(), data[i]!];
      data[i] = was;
      const slope = (above - below) / (high - low);
      expect(Math.abs(slope - gradient[i]!), `${name}[${i}] ${gradient[i]}, ${slope}`).toBeLessThan(
        1e-4 * (1 + Math.abs(slope)),
      );
    }
  }
}

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((sum, value, i) => sum + value * b[i]!, 0);

describe('gradients agree with finite differences', () => {
  it.each([true, false])('of a norm (gain: %s)', (NORM_GAIN) => {
    const [ROWS, K] = [3, 7];
    const held: Held = { x: floats(ROWS * K), gain: floats(K), dy: floats(ROWS * K), out: floats(ROWS * K) };
    const fixed = { WG: 16, LANES: 1, REDUCE: 'reduce_none', ROWS, K, EPS: 0.01, NORM_GAIN };
    const back = { ...held, dx: floats(ROWS * K), row_scales: floats(ROWS) };
    const { dx, row_scales } = left(NORM_BACKWARD, { ...fixed, ADD: false }, back);
    const compute = (): number => dot(left(TRAIN_NORM, fixed, held).out!, held.dy!);
    const sums: Held = {
      x: held.dy!,
      y: held.x!,
      row_scales: Float32Array.from(row_scales!),
      out: floats(K),
    };
    const sizes = { WG: 64, ROWS, COLS: K, SLICE: ROWS, PRODUCT: true, ADD: false };
    const gain = left(COLUMN_SUMS, sizes, sums).out!;
    expectGradients(held, compute, { x: dx!, ...(NORM_GAIN && { gain }) });
  });

  it('of SwiGLU', () => {
    const held: Held = { gate: floats(9, 3), up: floats(9), dy: floats(9), out: floats(9) };
    const fixed = { WG: 64, COUNT: 9 };
    const { gate, up } = left(SWIGLU_BACKWARD, fixed, held);
    const compute = (): number => dot(left(SWIGLU, fixed, held).out!, held.dy!);
    expectGradients(held, compute, { gate: gate!, up: up! });
  });

  it('of rotary embeddings', () => {
    const sizes = { WG: 64, ROWS: 4, HEADS: 2, HALF: 2, LENGTH: 2 };
    const turns = Float32Array.of(1, 0, 1, 0, Math.cos(1), Math.sin(1), Math.cos(0.3), Math.sin(0.3));
    const dy = floats(32);
    const held: Held = { x: floats(32), turns };
    const { x } = left(TRAIN_ROPE, { ...sizes, BACK: true }, { x: dy, turns });
    const compute = (): number => dot(left(TRAIN_ROPE, { ...sizes, BACK: false }, held).x!, dy);
    expectGradients(held, compute, { x: x! });
  });

  it('of attention', () => {
    const [ROWS, HEADS, KV_HEADS, D] = [6, 4, 2, 4];
    const fixed = { WG: 64, ROWS, LENGTH: 3, HEADS, KV_HEADS, D4: D / 4, SCALE: 0.7 };
    const [queries, keys] = [ROWS * HEADS * D, ROWS * KV_HEADS * D];
    const held: Held = {
      q: floats(queries, 2),
      k: floats(keys),
      v: floats(keys),
      out: floats(queries),
      dy: floats(queries),
      log_sums: floats(ROWS * HEADS),
    };
    const { out, log_sums } = left(TRAIN_ATTENTION, fixed, held);
    const back: Held = {
      ...held,
      y: Float32Array.from(out!),
      log_sums: Float32Array.from(log_sums!),
      deltas: floats(ROWS * HEADS),
      dq: floats(queries),
      dk: floats(keys),
      dv: floats(keys),
    };
    const { dq, deltas } = left(ATTENTION_QUERIES, fixed, back);
    const { dk, dv } = left(ATTENTION_KEYS, fixed, { ...back, deltas: Float32Array.from(deltas!) });
    const compute = (): number => dot(left(TRAIN_ATTENTION, fixed, held).out!, held.dy!);
    expectGradients(held, compute, { q: dq!, k: dk!, v: dv! });
  });

  it('of rows of the embedding', () => {
    const tokens = Uint32Array.of(2, 0, 2, 2, 1);
    const sizes = { WG: 64, ROWS: 5, K: 3, VOCAB: 4 };
    const held: Held = { tokens, embedding: floats(12), out: floats(15) };
    const dy = floats(15);
    const { out } = left(SCATTER, sizes, { ...runsOf(tokens), dy, out: new Float32Array(12) });
    const compute = (): number => dot(left(GATHER, sizes, held).out!, dy);
    expectGradients(held, compute, { embedding: out! });
  });

  it('of the loss of rows', () => {
    const fixed = { NUMBERS: 'by_one', WG: 256, VOCAB: 5, MIX: 0.6, TEACHER: 'with_teacher' };
    const held: Held = {
      logits: floats(15, 2),
      teacher: floats(15, 2),
      targets: Uint32Array.of(4, 0, 1),
      row_weights: Float32Array.of(0.5, 0, 0.3),
      losses: floats(3),
    };
    const { logits } = left(ROW_LOSS, fixed, held, 3);
    const compute = (): number => left(ROW_LOSS, fixed, held, 3).losses!.reduce((a, b) => a + b, 0);
    expectGradients(held, compute, { logits: logits! });
  });

  it('of the loss of hidden states', () => {
    const fixed = { NUMBERS: 'by_one', WG: 64, HIDDEN: 5, ADD: false };
    const held: Held = {
      student: floats(15),
      teacher: floats(15),
      row_weights: Float32Array.of(0.5, 0, 0.3),
      gradient: floats(15),
      losses: floats(3),
    };
    const { gradient } = left(HIDDEN_LOSS, fixed, held, 3);
    const compute = (): number => left(HIDDEN_LOSS, fixed, held, 3).losses!.reduce((a, b) => a + b, 0);
    expectGradients(held, compute, { student: gradient! });
  });
});

const sizes = {
  hidden_size: 32,
  intermediate_size: 48,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 40,
};
const CHILD = specOf({
  ...sizes,
  model_type: 'shishu-llama',
  num_decoder_front: 1,
  num_mlp: 3,
  num_mlp_shared: 1,
  num_decoder_end: 1,
});

it('has no entry for the second of a shared pair', () => {
  const names = Object.keys(initialWeights(CHILD, 3));
  expect(names).toContain('model.layers.1.mlp.up_proj.weight');
  expect(names).not.toContain('model.layers.2.mlp.up_proj.weight');
  expect(names).toContain('model.layers.3.mlp.up_proj.weight');
});

it('refuses by name what the trainer does not have', () => {
  const lfm = { ...sizes, num_hidden_layers: 2, model_type: 'lfm2', layer_types: ['conv', 'full_attention'] };
  expect(() => checkTrainable(specOf({ ...lfm, conv_L_cache: 3 }))).toThrow(/no short convolutions/);
  const windowed = { ...sizes, num_hidden_layers: 2, model_type: 'mistral', sliding_window: 8 };
  expect(() => checkTrainable(specOf(windowed))).toThrow(/has no sliding windows\. /);
  const llama = specOf({ ...sizes, num_hidden_layers: 2, model_type: 'llama' });
  const withParts = (attention: object, feedForward: object) => ({
    ...llama,
    blocks: llama.blocks.map((block) => ({
      mixer: { ...block.mixer, ...attention } as typeof block.mixer,
      feedForward: { ...block.feedForward, ...feedForward },
    })),
  });
  for (const [spec, what] of [
    [{ ...llama, scales: { residual: 0.5, embedding: 1 } }, 'factors beside the weights (of residual)'],
    [withParts({ scoreScale: 1 }, {}), 'factors beside the weights (of scores)'],
    [{ ...llama, gainOffset: 1 }, 'norms whose gains are stored less 1'],
    [
      withParts({ rope: { theta: 100, scaling: { type: 'none' }, rotated: 4 } }, {}),
      'heads that are rotated in part',
    ],
    [withParts({ norm: undefined }, {}), 'blocks without a norm before'],
    [withParts({ window: 8 }, { normAfter: 'n' }), 'sliding windows and no norms after'],
    [withParts({}, { activation: 'gelu' }), 'activation gelu'],
  ] as const)
    expect(() => checkTrainable(spec)).toThrow(`The trainer has no ${what}. `);
  for (const model_type of ['qwen2', 'qwen3', 'llama'])
    checkTrainable(specOf({ ...sizes, num_hidden_layers: 1, model_type }));
});

it('warms up, peaks and decays to a tenth', () => {
  const schedule = { steps: 100, learningRate: 1, warmUp: 10 };
  expect(learningRateAt(schedule, 1)).toBeCloseTo(0.1);
  expect(learningRateAt(schedule, 10)).toBeCloseTo(1);
  expect(learningRateAt(schedule, 55)).toBeCloseTo(0.55);
  expect(learningRateAt(schedule, 100)).toBeCloseTo(0.1);
});

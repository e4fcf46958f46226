import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { shapeModel } from '../../src/bench/models.ts';
import type { BenchResult } from '../../src/bench/result.ts';
import { type BenchOptions, type BenchProgress, runBench } from '../../src/bench/run.ts';
import { type BenchSettings, parseSettings } from '../../src/bench/settings.ts';
import { fillSynthetic } from '../../src/bench/synthetic.ts';
import { f16ToF32 } from '../../src/formats/float.ts';
import { Ledger, readBuffer } from '../../src/gpu/buffer.ts';
import { type Gpu, openGpu } from '../../src/gpu/device.ts';
import { stride } from '../../src/kernels/tensor.ts';
import { allocateWeights } from '../../src/model/weights.ts';
import type { ChosenDtype } from '../../src/quant/index.ts';
import { DTYPES } from '../../src/quant/index.ts';
import { openTestGpu } from '../support/gpu-features.ts';

const SEED = 1;

/** CPU twin of shaders/features/synthesise.wgsl's hash. */
function hash(input: number): number {
  const state = (Math.imul(input, 747796405) + 2891336453) >>> 0;
  const word = Math.imul((state >>> ((state >>> 28) + 4)) ^ state, 277803737) >>> 0;
  return ((word >>> 22) ^ word) >>> 0;
}

/** CPU twin of shaders/features/synthesise.wgsl for codes: `(rows, stride(cols))` values; of integers, the codes. */
function twin(dtype: ChosenDtype, rows: number, cols: number, seed: number): Float64Array {
  const peak = Math.fround(Math.sqrt(3 / cols));
  const uniform = (bits: number): number => (bits >>> 8) * (2 / 16777216) - 1;
  const padded = stride(cols);
  const perWord = { f32: 1, f16: 2, q8: 4, q4: 8 }[dtype];
  return Float64Array.from({ length: rows * padded }, (_, i) => {
    if (i % padded >= cols) return 0;
    const bits = hash((Math.floor(i / perWord) ^ hash(seed)) >>> 0);
    const lane = i % perWord;
    if (dtype === 'f32') return uniform(bits) * peak;
    if (dtype === 'f16') return uniform(lane === 0 ? bits : hash(bits)) * peak;
    if (dtype === 'q8') return Math.max(1, (bits >>> (8 * lane)) & 255) - 128;
    return Math.max(1, (bits >>> (4 * lane)) & 15) - 8;
  });
}

/** The values of a buffer of codes. */
function unpack(dtype: ChosenDtype, bytes: ArrayBuffer): Float64Array {
  if (dtype === 'f32') return Float64Array.from(new Float32Array(bytes));
  if (dtype === 'f16') return Float64Array.from(new Uint16Array(bytes), f16ToF32);
  if (dtype === 'q8') return Float64Array.from(new Uint8Array(bytes), (byte) => byte - 128);
  return Float64Array.from([...new Uint8Array(bytes)].flatMap((byte) => [(byte & 15) - 8, (byte >> 4) - 8]));
}

const tiny = (more: Record<string, string> = {}) =>
  parseSettings({
    parent: 'Tiny-1M',
    child: 'Tiny-1M:4,4,2,0',
    prompts: '4',
    positions: '4,40',
    batches: '2',
    steps: '2',
    repetitions: '2',
    ...more,
  });

// Runs share a device, and so its pipelines.
let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());
const run = (settings: BenchSettings, more: Partial<BenchOptions> = {}): Promise<BenchResult> =>
  runBench(settings, {
    openFolder: () => {
      throw new Error('No folder is measured here.');
    },
    runtime: 'test',
    budget: 1e9,
    gpu: { device: gpu.device },
    ...more,
  });

describe('weights made on the GPU', () => {
  test.each(DTYPES)('%s: as the CPU twin, padding zero, deviation 1/sqrt(cols)', async (dtype) => {
    const { spec } = shapeModel({ kind: 'shape', preset: 'Tiny-1M', stack: [1, 1, 0, 0] }, undefined);
    const ledger = new Ledger(gpu);
    try {
      const { weights, fill } = allocateWeights(gpu, ledger, spec, dtype);
      await fillSynthetic(gpu, fill, SEED);
      const { qkv } = weights.attention.get(0)!;
      const { codes, scales, vectors } = qkv.parts[0]!;
      const values = unpack(dtype, await readBuffer(gpu, codes));
      // The embedding is the first matrix, q, k and v the second.
      const expected = twin(dtype, qkv.rows, qkv.cols, SEED + 1);
      expect(values.length).toBe(expected.length);
      const worst = values.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0);
      expect(worst).toBeLessThan({ f32: 1e-7, f16: 2e-4, q8: 1e-9, q4: 1e-9 }[dtype]);
      const scale = scales ? f16ToF32(new Uint16Array(await readBuffer(gpu, scales))[0]!) : 1;
      const inside = values.filter((_, i) => i % stride(qkv.cols) < qkv.cols);
      const deviation =
        scale * Math.sqrt(inside.reduce((sum, value) => sum + value * value, 0) / inside.length);
      expect(deviation * Math.sqrt(qkv.cols)).toBeCloseTo(1, 1);
      expect([...new Float32Array(await readBuffer(gpu, vectors!)).subarray(0, qkv.cols)]).toEqual(
        Array(qkv.cols).fill(1),
      );
    } finally {
      ledger.releaseAll();
    }
  });
});

describe('a run', () => {
  test('measures every point of both models, and the profile where there are timestamps', async () => {
    const seen: BenchProgress[] = [];
    const states: BenchResult['ended'][] = [];
    const result = await run(tiny(), {
      onProgress: (progress) => {
        seen.push({ ...progress });
        states.push(progress.result.ended);
      },
    });
    expect(result).toMatchObject({ ended: 'complete', error: null, disturbed: [] });
    expect(result.models.map(({ label, dispatchesPerToken }) => [label, dispatchesPerToken])).toEqual([
      ['Tiny-1M', 8 * 5 + 3],
      ['Tiny-1M (4,4,2,0)', 4 * 5 + 4 * 2 + 3],
    ]);
    expect(result.prompts.map(({ model, tokens }) => [model, tokens])).toEqual([
      [0, 4],
      [1, 4],
    ]);
    expect(result.decode.map(({ model, position }) => [model, position])).toEqual([
      [0, 4],
      [1, 4],
      [0, 40],
      [1, 40],
    ]);
    expect(result.batches.map(({ model, batch }) => [model, batch])).toEqual([
      [0, 2],
      [1, 2],
    ]);
    for (const { ms } of [...result.prompts, ...result.decode, ...result.batches]) {
      expect(ms.samples).toHaveLength(2);
      expect(ms.q1).toBeGreaterThan(0);
      expect(ms.q1 <= ms.median && ms.median <= ms.q3).toBe(true);
    }
    const [parent, child] = result.models;
    expect(child!.bytes.kv / parent!.bytes.kv).toBe(0.5);
    expect(seen.at(-1)).toMatchObject({ done: seen.at(-1)!.total, what: 'Done' });
    expect(new Set(states.slice(0, -1))).toEqual(new Set(['running']));
    if (result.adapter.features.timestamps) {
      const launches = (model: number) =>
        result.profile.filter((point) => point.model === model && point.phase === 'decode').length;
      expect([launches(0), launches(1)]).toEqual(result.models.map((facts) => facts.dispatchesPerToken));
      expect(result.profile.some(({ microseconds }) => microseconds > 0)).toBe(true);
      expect(result.profile.every(({ work, expected }) => work.bytes > 0 && expected === null)).toBe(true);
      const weights = result.profile.filter(({ model, phase }) => model === 0 && phase === 'decode');
      const read = weights.reduce((sum, { work }) => sum + work.multiplyAdds, 0);
      expect(read).toBeGreaterThan(0.8 * parent!.parameters);
    }
  });

  test('runs with the profile that is asked for, and says so', async () => {
    const result = await run(tiny({ blocks: '2', repetitions: '1', kernels: 'no' }), {
      gpu: { device: gpu.device, profile: 'gpu' },
    });
    expect(result).toMatchObject({ ended: 'complete', error: null });
    expect(result.adapter).toMatchObject({ software: gpu.software, profile: 'gpu' });
    expect([result.prompts, result.decode, result.batches].map(({ length }) => length)).toEqual([2, 4, 2]);
  });

  test('profiles what is measured, and says what that is', async () => {
    if (!gpu.features.timestamps) return;
    const phases = (result: BenchResult) => [...new Set(result.profile.map(({ phase }) => phase))];
    const decoded = await run(tiny({ positions: '4', batches: '', prompts: '' }));
    expect(phases(decoded)).toEqual(['decode']);
    expect(decoded.profileNote).toMatch(/mean of 3: a decode step at position 4\. /);
    const nothing = await run(tiny({ positions: '', batches: '', prompts: '' }));
    expect([nothing.ended, phases(nothing)]).toEqual(['complete', []]);
    expect(nothing.profileNote).toContain('Neither');
  });

  test('without timestamp-query it says so', async () => {
    const settings = tiny({ positions: '4', batches: '', prompts: '' });
    const result = await run(settings, {
      gpu: { device: gpu.device, without: ['timestamps'] },
    });
    expect(result.profile).toEqual([]);
    expect(result.profileNote).toContain('no timestamp-query');
  });

  test('times a training step of both where there is a training module, and says why where not', async () => {
    const settings = tiny({
      blocks: '2',
      prompts: '',
      positions: '4',
      batches: '',
      kernels: 'no',
      training: 'yes',
    });
    const result = await run(settings, { loadTraining: () => import('../../src/train/step-times.ts') });
    expect(result).toMatchObject({ ended: 'complete', error: null });
    expect(result.training.map(({ model, rows, length }) => [model, rows, length])).toEqual([
      [0, 8, 128],
      [1, 8, 128],
    ]);
    for (const { ms } of result.training) expect(ms.samples.every((sample) => sample > 0)).toBe(true);
    expect(result.trainingNote).toContain('8 rows of 128 tokens');
    const seen: BenchProgress[] = [];
    const without = await run(settings, { onProgress: (progress) => seen.push({ ...progress }) });
    expect(seen.at(-1)!.done).toBe(seen.at(-1)!.total);
    expect(without.training).toEqual([]);
    expect(without.trainingNote).toContain('no training module');
  });

  test('cancelled, it keeps what was measured', async () => {
    const abort = new AbortController();
    const result = await run(tiny(), {
      signal: abort.signal,
      onProgress: ({ what }) => {
        if (what.startsWith('Decoding at position 40')) abort.abort();
      },
    });
    expect(result).toMatchObject({ ended: 'cancelled', error: null });
    expect(result.prompts).toHaveLength(2);
    expect(result.decode.map(({ position }) => position)).toEqual([4, 4]);
    expect(result.batches).toEqual([]);
    expect([result.profileNote, result.trainingNote]).toEqual(['Not reached.', 'Not asked for.']);
  });

  test('cancelled in the middle of a point, it keeps the samples that both models have', async () => {
    const abort = new AbortController();
    const result = await run(tiny({ repetitions: '9' }), {
      signal: abort.signal,
      onProgress: ({ what }) => {
        if (what === 'Decoding at position 40, 3 of 9') abort.abort();
      },
    });
    expect(result.ended).toBe('cancelled');
    expect(result.decode.map(({ position, ms }) => [position, ms.samples.length])).toEqual([
      [4, 9],
      [4, 9],
      [40, 2],
      [40, 2],
    ]);
  });

  test('a device lost while buffers are copied leaves no figure of it', async () => {
    const lost = await openGpu();
    const result = await run(tiny(), {
      gpu: { device: lost.device },
      onProgress: ({ what }) => {
        if (what === 'Copying') lost.device.destroy();
      },
    });
    expect(result.ended).toBe('device-lost');
    expect(result.adapter.copyGigabytesPerSecond).toBeNull();
  });

  test('a device lost in the middle leaves partial results', async () => {
    const lost = await openGpu();
    const result = await run(tiny(), {
      gpu: { device: lost.device },
      onProgress: ({ what }) => {
        if (what.startsWith('Decoding at position 40')) lost.device.destroy();
      },
    });
    expect(result.ended).toBe('device-lost');
    expect(result.decode.map(({ position }) => position)).toEqual([4, 4]);
  });

  test('a disturbance is kept with the result, once', async () => {
    let stopped = false;
    const result = await run(tiny({ batches: '', prompts: '', kernels: 'no' }), {
      watch: (disturbed) => {
        disturbed('The tab was hidden.');
        disturbed('The tab was hidden.');
        return () => {
          stopped = true;
        };
      },
    });
    expect(result.disturbed).toEqual(['The tab was hidden.']);
    expect(stopped).toBe(true);
  });

  test('what does not fit is refused before anything is allocated, with what would fit', async () => {
    const settings = parseSettings({
      parent: 'Llama-3.2-1B',
      child: 'Llama-3.2-1B:8,8,4,0',
      positions: '100',
    });
    const refused = run(settings, { budget: 3e9 });
    await expect(refused).rejects.toMatchObject({
      code: 'does-not-fit',
      message: expect.stringMatching(/What fits: .*weights in q8/),
    });
    const many = run(tiny({ positions: '4', batches: '1,2,128,256' }), { budget: 1.2e7 });
    await expect(many).rejects.toThrow(/What fits: batches up to 2;/);
  });
});

// Fitting linear maps on real WebGPU, with models of a few thousand weights.
import { describe, expect, test } from 'vitest';
import { calibrate, install } from '../../src/convert/calibrate.ts';
import { makeCapture } from '../../src/convert/capture.ts';
import { fit } from '../../src/convert/fit.ts';
import type { LinearMap } from '../../src/convert/linear-map.ts';
import { addWindow, MomentSums } from '../../src/convert/moments.ts';
import { Stack } from '../../src/convert/stack.ts';
import { stride } from '../../src/kernels/tensor.ts';
import { pruned } from '../../src/model/prune.ts';
import { attentionOf } from '../../src/model/spec.ts';
import { apply, momentsOf, type Pair } from '../reference/moments.ts';
import { useParents } from '../support/parents.ts';
import { randomTokens, type TinyModel, tinyModel } from '../support/tiny-models.ts';

const { withParent } = useParents();

/** The map of an attention that sees only its own token: O V diag(gain), and O bias_v + bias_o. */
function onlyMap({ spec, tensors }: TinyModel, layer: number) {
  const d = spec.hiddenSize;
  const { heads, kvHeads, headDim } = attentionOf(spec).get(layer)!;
  const get = (name: string) => tensors.get(`model.layers.${layer}.${name}`)?.data;
  const [O, V] = [get('self_attn.o_proj.weight')!, get('self_attn.v_proj.weight')!];
  const [gain, vb, ob] = [
    get('input_layernorm.weight')!,
    get('self_attn.v_proj.bias'),
    get('self_attn.o_proj.bias'),
  ];
  const W = new Float64Array(d * d);
  const b = new Float64Array(d);
  for (let i = 0; i < d; i++) {
    b[i] = ob?.[i] ?? 0;
    for (let h = 0; h < heads; h++)
      for (let e = 0; e < headDim; e++) {
        const o = O[i * heads * headDim + h * headDim + e]!;
        const v = Math.floor(h / (heads / kvHeads)) * headDim + e;
        b[i]! += o * (vb?.[v] ?? 0);
        for (let j = 0; j < d; j++) W[i * d + j]! += o * V[v * d + j]! * gain[j]!;
      }
  }
  return { W, b };
}

const apart = (a: Float64Array, b: Float64Array): number =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);

describe('fitting', () => {
  test.each(['llama', 'qwen2', 'llama-untied-bias'] as const)(
    '%s: an attention with one visible key is recovered to 1e-4',
    (name) =>
      withParent(name, async ({ runner, plan, spec }, model) => {
        const all = Array.from({ length: spec.vocabSize }, (_, id) => [id]);
        const windows = { calibration: all, choosing: all.filter(([id]) => id! % 7 === 0) };
        const layers = plan.map(({ layer }) => layer);
        for (const sequential of name === 'qwen2' ? [false, true] : [false]) {
          const fits = await calibrate(runner, plan, windows, layers, { sequential });
          for (const layer of layers) {
            const { W, b } = onlyMap(model, layer);
            const found = fits.get(layer)!;
            expect(found.r2).toBeGreaterThan(1 - 1e-8);
            expect(apart(found.W, W)).toBeLessThan(1e-4);
            expect(apart(found.b, b)).toBeLessThan(1e-4);
          }
        }
      }),
  );
});

/** Windows of one chunk of rows, of several, and of one token. */
const windowsFor = ({ spec }: TinyModel): number[][] =>
  [9, 37, 1].map((length, i) => randomTokens(spec, length, 3 + i));

/** A map that differs from row to row and from column to column. */
function someMap(d: number): LinearMap {
  const W = new Float64Array(d * d).map((_, at) => 0.01 * ((at % 7) - (at % 5)));
  return { d, W, b: new Float64Array(d).map((_, i) => 0.1 * (i % 3)) };
}

/** x / rms(x) */
function normalised(x: Float64Array, eps: number): Float64Array {
  const square = x.reduce((sum, value) => sum + value * value, 0) / x.length;
  return x.map((value) => value / Math.sqrt(square + eps));
}

describe('moments', () => {
  test('are those of the captured states', () =>
    withParent(
      'llama',
      async ({ runner, plan, spec }, model) => {
        const { hiddenSize: d, rmsNormEps: eps } = spec;
        const map = someMap(d);
        const layers = [1, 2];
        for (const layer of [0, ...layers]) install(runner, layer, map);
        const taken = new Map(layers.map((layer) => [layer, [] as Pair[]]));
        const capture = await makeCapture(runner, plan, layers);
        const stack = new Stack(runner);
        const sums = await MomentSums.make(runner, stack.rows, layers);
        // The second time it begins anew.
        for (const windows of [windowsFor(model), windowsFor(model).slice(1)]) {
          for (const tokens of taken.values()) tokens.length = 0;
          for (const window of windows) {
            await capture.run(window, (layer, _, { x, a, guess }) => {
              const own = normalised(x, eps);
              expect(apart(guess, apply(map, own))).toBeLessThan(1e-5);
              taken.get(layer)!.push({ z: own, a: a.slice() });
            });
            await addWindow(sums, stack, plan, layers, window);
          }
          const found = await sums.take();
          for (const layer of layers) {
            const expected = momentsOf(d, taken.get(layer)!);
            const own = found.get(layer)!;
            expect(own.n).toBe(expected.n);
            for (let i = 0; i < d; i++) own.G.fill(0, i * d + i + 1, (i + 1) * d);
            for (const name of ['z', 'a', 'G', 'C'] as const)
              expect(apart(own[name], expected[name]), name).toBeLessThan(1e-4);
            expect(own.aa / expected.aa).toBeCloseTo(1, 5);
          }
        }
      },
      { chunk: 16 },
    ));

  test.each([1, 2])(
    'of %i inputs, one map after the other, are of what leads from the child to the parent',
    (inputs) =>
      withParent(
        'llama',
        async ({ runner, plan, spec }, model) => {
          const { hiddenSize: d, rmsNormEps: eps } = spec;
          const windows = {
            calibration: Array.from({ length: 8 }, (_, i) => randomTokens(model.spec, 37, 20 + i)),
            choosing: windowsFor(model),
          };
          const before = runner.ledger.byPurpose();
          const fits = await calibrate(runner, plan, windows, [0, 2], { sequential: true, inputs });
          // Nothing is left but two maps.
          const left = runner.ledger.byPurpose().weights - before.weights;
          expect(left).toBe(2 * 4 * (d * stride(inputs * d) + d));
          const capture = await makeCapture(runner, plan, [2]);
          const child = await makeCapture(runner, pruned(plan, { 0: 'linear' }, new Set([0])), [2]);
          const pairsIn = async (set: number[][]): Promise<Pair[]> => {
            const pairs: Pair[] = [];
            for (const window of set) {
              const behind: Float64Array[] = [];
              await capture.run(window, (_, position, { x, a }) => {
                behind[position] = x.map((value, i) => value + a[i]!);
              });
              let last: Float64Array = new Float64Array(d);
              await child.run(window, (_, position, { x }) => {
                const own = normalised(x, eps);
                const z = inputs === 1 ? own : Float64Array.of(...own, ...last);
                last = own;
                pairs.push({ z, a: behind[position]!.map((value, i) => value - x[i]!) });
              });
            }
            return pairs;
          };
          const sets = [await pairsIn(windows.calibration), await pairsIn(windows.choosing)];
          const [calibration, choosing] = sets.map((pairs) => momentsOf(d, pairs));
          const expected = fit(calibration!, choosing!);
          const found = fits.get(2)!;
          expect(found.alpha).toBe(expected.alpha);
          expect(found.r2).toBeCloseTo(expected.r2, 4);
          expect(apart(found.W, expected.W)).toBeLessThan(2e-3);
          // The map on the GPU sees as many positions as it was fitted to, in chunks too.
          const [window] = windows.calibration;
          const guesses: Float64Array[] = [];
          await child.run(window!, (_, position, { guess }) => {
            guesses[position] = guess.slice();
          });
          const own = sets[0]!.slice(0, window!.length).map(({ z }) => apply(found, z));
          for (const [i, guess] of guesses.entries()) expect(apart(guess, own[i]!)).toBeLessThan(1e-4);
        },
        { chunk: 16 },
      ),
  );

  test('that do not all fit at once take another pass, and nothing is left of them', () =>
    withParent('llama', async ({ runner, plan }, model) => {
      const windows = {
        calibration: Array.from({ length: 60 }, (_, i) => [i, i + 1, i + 2]),
        choosing: windowsFor(model),
      };
      const layers = plan.map(({ layer }) => layer);
      const whole = await calibrate(runner, plan, windows, layers);
      const before = runner.ledger.bytes();
      const steps: [number, number][] = [];
      const grouped = await calibrate(runner, plan, windows, layers, {
        budget: 1,
        onProgress: (done, total) => steps.push([done, total]),
      });
      expect(grouped).toEqual(whole);
      expect(steps).toEqual(Array.from({ length: 3 * 64 }, (_, i) => [i + 1, 3 * 64]));
      expect(runner.ledger.bytes()).toBe(before);
    }));

  test('of values that are no numbers are an error that says where', async () => {
    const model = tinyModel('llama', 7);
    model.tensors.get('model.layers.1.self_attn.o_proj.weight')!.data.fill(Number.POSITIVE_INFINITY);
    await withParent(model, async ({ runner, plan }) => {
      const windows = { calibration: [[5, 6]], choosing: [[7]] };
      await expect(calibrate(runner, plan, windows, [0, 1])).rejects.toMatchObject({
        code: 'bad-argument',
        message: expect.stringContaining('block 1, position 0 is NaN, infinite or beyond 2^50.'),
        details: { where: 'block 1, position 0' },
      });
    });
  });

  test('of a hidden size whose sums no binding holds are refused', () =>
    withParent(
      'llama',
      async ({ runner, plan }) => {
        const windows = { calibration: [[5, 6]], choosing: [[7]] };
        const before = runner.ledger.bytes();
        await expect(calibrate(runner, plan, windows, [0])).rejects.toMatchObject({
          code: 'does-not-fit',
          details: { hiddenSize: 40, bytes: 8 * 64 * 64, limit: 8192 },
        });
        expect(runner.ledger.bytes()).toBe(before);
      },
      { limits: { binding: 8192 } },
    ));
});

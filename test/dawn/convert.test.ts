// Analysis, fitting and conversion on real WebGPU, with models of a few thousand weights.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { calibrate } from '../../src/convert/calibrate.ts';
import { openParent, type Parent } from '../../src/convert/parent.ts';
import { type Gpu, openGpu } from '../../src/gpu/device.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { memorySource } from '../support/memory-source.ts';
import {
  randomTokens,
  type TinyModel,
  type TinyModelName,
  tinyFiles,
  tinyModel,
} from '../support/tiny-models.ts';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => gpu.close());

const filesOf = (model: TinyModel) => ({ ...tinyFiles(model), ...charTokenizerFiles() });

async function withParent<T>(
  name: TinyModelName,
  run: (parent: Parent, model: TinyModel) => Promise<T>,
): Promise<T> {
  const model = tinyModel(name, 7);
  const parent = await openParent(memorySource(filesOf(model)), { device: gpu.device });
  try {
    return await run(parent, model);
  } finally {
    parent.close();
  }
}

/** The map of an attention that sees only its own token: O V diag(gain), and O bias_v + bias_o. */
function onlyMap({ config, tensors }: TinyModel, layer: number) {
  const { hiddenSize: d, heads, kvHeads, headDim } = config;
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
      withParent(name, async ({ runner, plan, config }, model) => {
        const all = Array.from({ length: config.vocabSize }, (_, id) => [id]);
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

// Each family with its weights in fewer bits, whatever factors they take in as they are read: logits are those of the reference
// forward with weights that are rounded so, and not far from those of f32.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadModel } from '../../src/engine/engine.ts';
import { specOf } from '../../src/families/index.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { bytesToF32 } from '../../src/formats/float.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { rowBytes } from '../../src/kernels/tensor.ts';
import { foldsOf } from '../../src/model/fold.ts';
import { packerOf } from '../../src/model/pack.ts';
import { planOf, tensorsOf } from '../../src/model/spec.ts';
import { FORMATS, type ValueDtype } from '../../src/quant/index.ts';
import { type ReferenceTensor, referenceLogits } from '../reference/forward.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { difference, FAMILY_FIXTURES, familyFixture } from '../support/family-fixtures.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { memorySource } from '../support/memory-source.ts';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

/** Largest error of a logit, as a share of the largest logit: attention of random models magnifies what is rounded. */
const BOUNDS = { f16: 0.005, q8: 0.3, q4: 1.5 } as const;
const ROUNDING = 1e-4;

/** A matrix as a format keeps it, with a factor. */
function rounded(data: Float32Array, cols: number, dtype: ValueDtype, times: number): Float32Array {
  const { codes, scales } = packerOf(dtype)(
    Float32Array.from(data, (value) => times * value),
    cols,
    'test',
  );
  const size = rowBytes(dtype, cols);
  const row = ({ buffer, byteOffset }: ArrayBufferView<ArrayBuffer>, bytes: number, r: number) =>
    buffer.slice(byteOffset + r * bytes, byteOffset + (r + 1) * bytes);
  const out = new Float32Array(data.length);
  for (let r = 0; r < data.length / cols; r++) {
    const beside = scales && row(scales, size.scales, r);
    out.set(FORMATS[dtype].decode(row(codes, size.codes, r), beside, cols), r * cols);
  }
  return out.map((value) => value / times);
}

test.each(FAMILY_FIXTURES)('%s in f16, q8 and q4', async (name) => {
  const { files, context, prompt, logits } = await familyFixture(name);
  const source = memorySource({ ...files, ...charTokenizerFiles() });
  const spec = specOf(JSON.parse(files['config.json'] as string));
  const checkpoint = await openCheckpoint(source, tensorsOf(spec));
  const folds = foldsOf(spec);
  const tables = [spec.embedding, spec.head].map((table) => `${table.name}.weight`);
  for (const dtype of ['f16', 'q8', 'q4'] as const) {
    const tensors = new Map<string, ReferenceTensor>();
    for (const [tensor, { shape, dtype: stored }] of checkpoint.tensors) {
      const data = bytesToF32(await checkpoint.read(tensor), stored);
      const kept = tables.includes(tensor) ? FORMATS[dtype].table : dtype;
      const times = folds.get(tensor)?.times ?? 1;
      tensors.set(tensor, { shape, data: shape.length === 2 ? rounded(data, shape[1]!, kept, times) : data });
    }
    const expected = referenceLogits(spec, tensors, prompt, planOf(spec), context);
    const options = { device: gpu.device, contextLength: context, kv: 'f32', selfTest: false } as const;
    const model = await loadModel(source, { ...options, dtype });
    const found = await model.logits(prompt);
    await model.dispose();
    expect(difference(found, expected), `${dtype} against its own weights`).toBeLessThan(ROUNDING);
    expect(difference(found, logits), `${dtype} against f32`).toBeLessThan(BOUNDS[dtype]);
  }
});

import { describe, expect, test } from 'vitest';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { bytesToF32 } from '../../src/formats/float.ts';
import { tensorsOf } from '../../src/model/spec.ts';
import { roundToF16 } from '../reference/quantize.ts';
import { memorySource } from '../support/memory-source.ts';
import { roundedTo, tinyFiles, tinyModel } from '../support/tiny-models.ts';

describe.each([
  ['F32', 1],
  ['F16', 1],
  ['BF16', 3],
] as const)('files of %s weights in %i shards', (dtype, shards) => {
  test.each(['shishu', 'shishu-copies', 'llama-untied-bias'] as const)('hold %s', async (name) => {
    const model = tinyModel(name, 1);
    const files = tinyFiles(model, dtype, shards);
    expect(Object.keys(files)).toHaveLength(shards === 1 ? 2 : shards + 2);
    const checkpoint = await openCheckpoint(memorySource(files), tensorsOf(model.spec));
    expect(checkpoint.tensors.size).toBe(model.tensors.size);
    for (const [tensor, { shape, data }] of roundedTo(model, dtype).tensors) {
      expect(checkpoint.tensors.get(tensor)).toMatchObject({ dtype, shape });
      expect(bytesToF32(await checkpoint.read(tensor), dtype)).toEqual(data);
    }
  });
});

test('roundedTo rounds to the nearest f16 or bf16', () => {
  const model = tinyModel('qwen3', 1);
  const weights = model.tensors.get('lm_head.weight')!.data;
  const half = roundedTo(model, 'F16').tensors.get('lm_head.weight')!.data;
  expect(half).toEqual(weights.map(roundToF16));
  const brain = roundedTo(model, 'BF16').tensors.get('lm_head.weight')!.data;
  for (let i = 0; i < weights.length; i++)
    expect(Math.abs(brain[i]! - weights[i]!)).toBeLessThanOrEqual(Math.abs(weights[i]!) * 2 ** -8);
  expect(brain).not.toEqual(weights);
});

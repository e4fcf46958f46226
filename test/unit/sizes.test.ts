import { expect, it, vi } from 'vitest';
import { sizeOf } from '../../src/engine/size.ts';
import { specOf } from '../../src/families/index.ts';
import type { Gpu } from '../../src/gpu/device.ts';

vi.mock('../../src/model/rope.ts', () => ({
  ropeTable: () => expect.unreachable('A table was made for a size.'),
}));
vi.stubGlobal('GPUBufferUsage', {});

it('the size of a model with a context of 131,072 is told without making its rotary table', () => {
  const spec = specOf({
    model_type: 'llama',
    hidden_size: 64,
    intermediate_size: 96,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    vocab_size: 300,
    max_position_embeddings: 131_072,
  });
  const gpu = {
    limits: { binding: 2 ** 27 },
    features: {},
    subgroupSize: { min: 0, max: 0 },
    software: false,
  } as unknown as Gpu;
  const sized = (contextLength: number) =>
    sizeOf(gpu, spec, { dtype: 'f32', kv: 'f32', contextLength, batch: 1 });
  const [long, short] = [sized(131_072), sized(1024)];
  // K and V of two blocks, and a table of cos and sin.
  expect(long.bytes.kv - short.bytes.kv).toBe(130_048 * 2 * 2 * 64 * 4);
  expect(long.bytes.scratch - short.bytes.scratch).toBeGreaterThanOrEqual(130_048 * 16 * 4);
});

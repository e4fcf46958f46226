// Training with the kernels of GPUs against torch's.
import { test } from 'vitest';
import { followsTorch } from '../support/follows-torch.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { TORCH_CASES } from '../support/train-fixtures.ts';

test.each(['from the lowest', 'qwen3'])(
  '%s',
  async (name) => {
    await followsTorch(await openTestGpu({ profile: 'gpu' }), name, TORCH_CASES[name]!);
  },
  300_000,
);

// Which activations launches share: recorded on a GPU that is not there.
import { expect, test } from 'vitest';
import { specOf } from '../../src/families/index.ts';
import { Ledger } from '../../src/gpu/buffer.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { askedOf, type ShaderSpec } from '../../src/gpu/kernel.ts';
import { defaultTuning } from '../../src/kernels/tuning.ts';
import { allocateScratch, recordBlocks } from '../../src/model/forward.ts';
import { KvCache } from '../../src/model/kvcache.ts';
import { planOf } from '../../src/model/spec.ts';
import { allocateWeights } from '../../src/model/weights.ts';
import { adapterOf, paperGpu } from '../support/paper-gpu.ts';

const SIZES = { vocab_size: 64, num_hidden_layers: 4, num_attention_heads: 3, head_dim: 12 };

test.each([
  [
    'convolutions beside attention of another width',
    {
      model_type: 'lfm2',
      ...{ ...SIZES, num_key_value_heads: 1, hidden_size: 40, intermediate_size: 66 },
      block_multiple_of: 4,
      full_attn_idxs: [1, 3],
    },
  ],
  [
    'linear maps of two factors beside MLPs of two widths',
    {
      model_type: 'shishu-llama',
      ...{ ...SIZES, hidden_size: 40, intermediate_size: 52 },
      ...{ intermediate_size_mlp: 44, linear_rank: 10, linear_layers: [1, 2] },
      ...{ num_decoder_front: 1, num_mlp: 2, num_mlp_shared: 0, num_decoder_end: 1 },
    },
  ],
])('what a projection reads has one width: %s', async (_, config) => {
  const paper = paperGpu(adapterOf('gpu', false));
  const gpu = {
    ...paper,
    device: {
      ...paper.device,
      pushErrorScope() {},
      popErrorScope: async () => null,
      createBindGroup: () => ({}),
    },
    pipelines: {
      get: async (shader: ShaderSpec) => ({ bindings: shader.kernel.bindings(askedOf(shader)) }),
    },
  } as unknown as Gpu;
  const spec = specOf(config);
  const tuning = defaultTuning(gpu);
  const ledger = new Ledger(gpu, { onPaper: true });
  const size = { rows: 8, decodeRows: 8, logitRows: 8, context: 16, sequences: 1 };
  const parts = {
    ...{ gpu, tuning, spec },
    weights: allocateWeights(gpu, ledger, spec, 'q4').weights,
    kv: new KvCache(ledger, spec, { ...size, dtype: 'f32' }),
    scratch: allocateScratch(ledger, tuning, spec, size),
  };
  const rows = ledger.storage('rows', 16, 'scratch');
  const widths = new Map<GPUBuffer, Set<unknown>>();
  for (const { bind, shader } of await recordBlocks(parts, planOf(spec), rows, 'one')) {
    if (shader.kernel.name !== 'matvec_lanes') continue;
    const { buffer } = bind.x!;
    widths.set(buffer, new Set([...(widths.get(buffer) ?? []), shader.constants.K]));
  }
  expect([...widths.values()].map((found) => [...found])).toEqual(
    Array.from({ length: widths.size }, () => [expect.any(Number)]),
  );
  expect(widths.size).toBeGreaterThan(3);
});

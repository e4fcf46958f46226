// A small result of the benchmark, cut short.
import type { BenchResult, ModelFacts } from '../../src/bench/result.ts';
import { parseSettings, settingsText } from '../../src/bench/settings.ts';
import { spreadOf } from '../../src/bench/stats.ts';

export const facts = (label: string, scale: number): ModelFacts => ({
  spec: label,
  label,
  weights: 'synthesised',
  parameters: 1000 * scale,
  layers: 4,
  attentionBlocks: 2 * scale,
  dtype: 'f32',
  kv: 'f32',
  context: 64,
  maxPositions: 4096,
  bytes: { weights: 4e6 * scale, kv: 1e6 * scale, scratch: 5e5, total: 5e6 * scale + 5e5 },
  kvBytesPerToken: 1000 * scale,
  kvWindows: [{ bytesPerToken: 250 * scale, tokens: 768 }],
  dispatchesPerToken: 10 * scale,
});

/** 3 kB in 3 us are 1 GB/s. */
export const work = {
  work: { row: 'matvec q4', bytes: 3000, multiplyAdds: 6000, workgroups: 10, threads: 64 },
  expected: null,
};

export const result: BenchResult = {
  format: 'shishulm-bench-1',
  date: '2026-01-02T03:04:05.000Z',
  adapter: {
    name: 'Some GPU',
    vendor: 'maker',
    architecture: '',
    device: '',
    description: '',
    gpu: null,
    software: false,
    profile: 'gpu',
    features: { f16: true, subgroups: true, timestamps: true },
    subgroupSize: { min: 32, max: 32 },
    maxBindingBytes: 2 ** 30,
    copyGigabytesPerSecond: 100,
  },
  runtime: 'Browser 1',
  settings: settingsText(parseSettings({ parent: 'Tiny-1M', child: 'Tiny-1M:4,4,2,0' })),
  models: [facts('parent, "big"', 2), facts('child', 1)],
  prompts: [
    { model: 0, tokens: 32, ms: spreadOf([10, 12, 14]), tokensPerSecond: 2666 },
    { model: 1, tokens: 32, ms: spreadOf([6, 6, 6]), tokensPerSecond: 5333 },
  ],
  decode: [
    { model: 0, position: 16, ms: spreadOf([4, 4, 4]), weightBytes: 8e6, kvBytes: 0, gigabytesPerSecond: 2 },
    {
      model: 1,
      position: 16,
      ms: spreadOf([3, 3, 3]),
      weightBytes: 4e6,
      kvBytes: 0,
      gigabytesPerSecond: 1.3,
    },
    // The run ended before the child's turn.
    { model: 0, position: 99, ms: spreadOf([5]), weightBytes: 8e6, kvBytes: 0, gigabytesPerSecond: 1.6 },
  ],
  batches: [],
  batchPosition: 16,
  profile: [
    { model: 0, phase: 'decode', block: 0, kernel: 'qkv', microseconds: 3, ...work },
    { model: 0, phase: 'decode', block: 1, kernel: 'qkv', microseconds: 4, ...work },
    { model: 1, phase: 'decode', block: 0, kernel: 'qkv', microseconds: 3, ...work },
    { model: 1, phase: 'decode', block: null, kernel: 'logits', microseconds: 9, ...work },
    { model: 1, phase: 'prompt', block: 0, kernel: 'qkv', microseconds: 50, ...work },
  ],
  profileNote: 'A note.',
  training: [
    { model: 0, ms: spreadOf([400]), rows: 8, length: 128 },
    { model: 1, ms: spreadOf([300]), rows: 8, length: 128 },
  ],
  trainingNote: 'On the CPU.',
  ended: 'device-lost',
  error: 'The GPU was lost: gone',
  disturbed: ['The tab was hidden.'],
};

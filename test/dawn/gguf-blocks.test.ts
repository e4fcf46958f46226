// Models in GGUF's blocks of every type: the logits of the same values in f32, kept in the bytes of the file.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadModel } from '../../src/engine/engine.ts';
import { estimate } from '../../src/engine/estimate.ts';
import type { LoadOptions } from '../../src/engine/types.ts';
import { type BlockType, type GgufType, TYPES } from '../../src/formats/gguf/types.ts';
import { type Gpu, openGpu } from '../../src/gpu/device.ts';
import { type FileTensor, ggufFile, randomBlocks, type Typed } from '../support/gguf-file.ts';
import { mulberry32 } from '../support/random.ts';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => gpu.close());

const HIDDEN = 256;
const VOCAB = 68;
const u32 = (value: number): Typed => ({ kind: 'u32', value });
const f32 = (value: number): Typed => ({ kind: 'f32', value });
const text = (value: string): Typed => ({ kind: 'string', value });

/** Types of a model's matrices; the embedding is the head too. */
interface Types {
  embedding: BlockType;
  q: BlockType;
  k: BlockType;
  v: BlockType;
  out: BlockType;
  gate: BlockType;
  up: BlockType;
  down: BlockType;
}

/** A model of one block, with random weights in blocks of these types. */
function modelOf(types: Types, architecture = 'llama', more: Record<string, Typed> = {}): File {
  const random = mulberry32(31);
  const matrix = (name: string, type: BlockType, rows: number): FileTensor => ({
    name: `${name}.weight`,
    shape: [rows, HIDDEN],
    type: TYPES[type].id,
    data: randomBlocks(type, (rows * HIDDEN) / TYPES[type].values, random),
  });
  const norm = (name: string): FileTensor => ({
    name: `${name}.weight`,
    shape: [HIDDEN],
    type: 0,
    data: new Uint8Array(Float32Array.from({ length: HIDDEN }, () => 0.5 + random()).buffer),
  });
  const tokens = Array.from({ length: VOCAB }, (_, i) => String.fromCharCode(0x21 + i));
  const metadata: Record<string, Typed> = {
    'general.architecture': text(architecture),
    [`${architecture}.block_count`]: u32(1),
    [`${architecture}.context_length`]: u32(64),
    [`${architecture}.embedding_length`]: u32(HIDDEN),
    [`${architecture}.feed_forward_length`]: u32(HIDDEN),
    [`${architecture}.attention.head_count`]: u32(4),
    [`${architecture}.attention.head_count_kv`]: u32(2),
    [`${architecture}.attention.layer_norm_rms_epsilon`]: f32(1e-5),
    ...more,
    'tokenizer.ggml.model': text('gpt2'),
    'tokenizer.ggml.pre': text('llama-bpe'),
    'tokenizer.ggml.tokens': { kind: 'array', of: 'string', value: tokens },
    'tokenizer.ggml.merges': { kind: 'array', of: 'string', value: [] },
    'tokenizer.ggml.eos_token_id': u32(0),
  };
  const block = (name: string, type: BlockType, rows: number) => matrix(`blk.0.${name}`, type, rows);
  const tensors = [
    matrix('token_embd', types.embedding, VOCAB),
    norm('output_norm'),
    norm('blk.0.attn_norm'),
    norm('blk.0.ffn_norm'),
    block('attn_q', types.q, HIDDEN),
    block('attn_k', types.k, HIDDEN / 2),
    block('attn_v', types.v, HIDDEN / 2),
    block('attn_output', types.out, HIDDEN),
    block('ffn_gate', types.gate, HIDDEN),
    block('ffn_up', types.up, HIDDEN),
    block('ffn_down', types.down, HIDDEN),
  ];
  return new File([ggufFile(metadata, tensors)], 'm.gguf');
}

const IDS = [3, 60, 9, 27, 41, 8, 2, 11];

async function loaded(file: File, options: LoadOptions = {}) {
  const told: string[] = [];
  const warn = (message: string): void => void told.push(message);
  const model = await loadModel(file, { device: gpu.device, kv: 'f32', warn, ...options });
  try {
    const logits = await model.logits(IDS);
    const decoded = [];
    for await (const { tokenId } of model.generate(IDS, { maxTokens: 6, ignoreEos: true }))
      decoded.push(tokenId);
    return { logits, decoded, info: model.info, told };
  } finally {
    await model.dispose();
  }
}

const all = (type: BlockType): Types => ({
  ...{ embedding: type, q: type, k: type, v: type, out: type, gate: type, up: type, down: type },
});
const MIXED: Types = { ...all('Q4_K'), embedding: 'Q6_K', v: 'Q6_K', down: 'Q5_K' };
const LARGER: Partial<Record<GgufType, number>> = { Q4_0: 4.5 / 5, Q5_0: 5.5 / 6, Q6_K: 6.5625 / 6.625 };

test.each([
  ['Q8_0', all('Q8_0'), 5],
  ['Q4_0', all('Q4_0'), 5],
  ['Q4_1', all('Q4_1'), 5],
  ['Q5_0', all('Q5_0'), 5],
  ['Q5_1', all('Q5_1'), 5],
  ['Q4_K', all('Q4_K'), 5],
  ['Q5_K', all('Q5_K'), 5],
  ['Q6_K', all('Q6_K'), 5],
  ['a mix as Q4_K_M', MIXED, 6],
] as const)('%s: the logits of f32, in the bytes of the file', async (name, types, projections) => {
  const file = modelOf(types);
  const foretold = await estimate(file, { device: gpu.device, kv: 'f32' });
  const kept = await loaded(file);
  const wide = await loaded(file, { dtype: 'f32' });
  expect(kept.told).toEqual([]);
  expect(kept.info.selfTest).toMatchObject({ kernels: 'usual', wrong: [] });
  const largest = Math.max(...wide.logits.map(Math.abs));
  expect(largest).toBeGreaterThan(0.1);
  for (const [i, value] of kept.logits.entries())
    expect(Math.abs(value - wide.logits[i]!)).toBeLessThan(1e-5 * largest);
  expect(kept.decoded).toEqual(wide.decoded);
  expect(foretold).toMatchObject({
    dtype: kept.info.dtype,
    formats: kept.info.formats,
    bytes: kept.info.bytes,
  });
  expect(kept.info.formats.reduce((sum, { tensors }) => sum + tensors, 0)).toBe(8);
  // Matrices alone: norms are not in the formats.
  const bytes = kept.info.formats.reduce((sum, one) => sum + one.bytes, 0);
  const share = LARGER[name as GgufType] ?? (name.startsWith('a mix') ? 0.996 : 1);
  expect((foretold.storedBytes - 3 * 4 * HIDDEN) / bytes).toBeCloseTo(share, 2);
  // A launch for each run of rows in one format.
  expect(kept.info.dispatchesPerToken - wide.info.dispatchesPerToken).toBe(projections - 5);
});

test('the factors of Granite: its blocks stay as they are, and the kernels multiply', async () => {
  const file = modelOf(all('Q4_K'), 'granite', {
    'granite.embedding_scale': f32(12),
    'granite.residual_scale': f32(0.22),
    'granite.logit_scale': f32(8),
    'granite.attention.scale': f32(0.05),
  });
  const kept = await loaded(file);
  const wide = await loaded(file, { dtype: 'f32' });
  expect(kept.told).toEqual([]);
  expect(kept.info.formats).toMatchObject([{ dtype: 'q4_k', tensors: 8 }]);
  expect(kept.info.selfTest).toMatchObject({ kernels: 'usual', wrong: [] });
  const largest = Math.max(...wide.logits.map(Math.abs));
  for (const [i, value] of kept.logits.entries())
    expect(Math.abs(value - wide.logits[i]!)).toBeLessThan(1e-5 * largest);
  expect(kept.decoded).toEqual(wide.decoded);
});

test('types that are not read as they are become q8, and gate and up of two types too; both are said', async () => {
  const file = modelOf({ ...all('Q4_K'), q: 'Q3_K', k: 'Q2_K', v: 'IQ4_NL', out: 'IQ4_XS', gate: 'Q6_K' });
  const kept = await loaded(file);
  const wide = await loaded(file, { dtype: 'f32' });
  expect(kept.told).toHaveLength(1);
  for (const type of ['Q3_K', 'Q2_K', 'IQ4_NL', 'IQ4_XS', 'Q6_K', 'Q4_K'])
    expect(kept.told[0]).toContain(`${type} as q8`);
  expect(kept.info.formats.map(({ dtype, tensors }) => [dtype, tensors])).toEqual([
    ['q8', 6],
    ['q4_k', 2],
  ]);
  const size = Math.hypot(...wide.logits);
  expect(Math.hypot(...kept.logits.map((value, i) => value - wide.logits[i]!)) / size).toBeLessThan(0.05);
});

test('a dtype that is asked for rounds all blocks to it', async () => {
  const { info } = await loaded(modelOf(MIXED), { dtype: 'q8' });
  expect(info.formats).toMatchObject([{ dtype: 'q8', tensors: 8 }]);
});

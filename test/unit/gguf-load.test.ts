// Weights of GGUF files whose tensors are of any types, as they lie on the GPU, against those of the same file in f32.
import { expect, test } from 'vitest';
import { readHeaders } from '../../src/engine/engine.ts';
import { f32ToBf16, f32ToF16 } from '../../src/formats/float.ts';
import { type GgufType, TYPES } from '../../src/formats/gguf/types.ts';
import { openSource } from '../../src/formats/open-source.ts';
import { Ledger } from '../../src/gpu/buffer.ts';
import { gainSize, rowBytes, type Weight, type WeightDtype } from '../../src/kernels/tensor.ts';
import { fillFromCheckpoint } from '../../src/model/load.ts';
import { tensorsOf } from '../../src/model/spec.ts';
import { allocateWeights, type Weights } from '../../src/model/weights.ts';
import { FORMATS } from '../../src/quant/index.ts';
import { type FileTensor, ggufFile, randomBlocks, type Typed } from '../support/gguf-file.ts';
import { adapterOf, paperGpu } from '../support/paper-gpu.ts';
import { mulberry32 } from '../support/random.ts';

const HIDDEN = 256;
const KV = 128;
const VOCAB = 44;
const u32 = (value: number): Typed => ({ kind: 'u32', value });
const f32 = (value: number): Typed => ({ kind: 'f32', value });

const GRANITE = {
  embedding_scale: f32(12),
  residual_scale: f32(0.22),
  logit_scale: f32(8),
  'attention.scale': f32(0.05),
};
const ARCHITECTURES: Record<string, { more?: Record<string, Typed>; fused?: boolean; biases?: boolean }> = {
  llama: { biases: true },
  granite: { more: GRANITE },
  qwen2: { biases: true },
  phi3: { fused: true, more: { 'rope.dimension_count': u32(32) } },
};

function valuesOf(type: GgufType, count: number, random: () => number): Uint8Array {
  const value = (): number => random() - 0.5;
  if (type === 'F32') return new Uint8Array(Float32Array.from({ length: count }, value).buffer);
  const to = type === 'F16' ? f32ToF16 : f32ToBf16;
  if (type === 'F16' || type === 'BF16')
    return new Uint8Array(Uint16Array.from({ length: count }, () => to(value())).buffer);
  return randomBlocks(type, count / TYPES[type].values, random);
}

/** A model of a block, whose tensors are of these types in turn. */
function modelOf(architecture: string, types: readonly GgufType[], seed: number): File {
  const random = mulberry32(seed);
  const { more = {}, fused = false, biases = false } = ARCHITECTURES[architecture]!;
  const any = (): GgufType => types[Math.floor(random() * types.length)]!;
  const tensor = (name: string, shape: number[], type: GgufType): FileTensor => {
    const count = shape.reduce((a, b) => a * b);
    return { name, shape, type: TYPES[type].id, data: valuesOf(type, count, random) };
  };
  const plain = ['F32', 'F16', 'BF16'] as const;
  const vector = (name: string, length: number) => tensor(name, [length], plain[Math.floor(3 * random())]!);
  const block = (name: string, rows: number) => tensor(`blk.0.${name}.weight`, [rows, HIDDEN], any());
  const own = {
    block_count: u32(1),
    context_length: u32(64),
    embedding_length: u32(HIDDEN),
    feed_forward_length: u32(HIDDEN),
    'attention.head_count': u32(4),
    'attention.head_count_kv': u32(2),
    'attention.layer_norm_rms_epsilon': f32(1e-5),
    ...more,
  };
  const metadata = Object.fromEntries(
    Object.entries(own).map(([key, value]) => [`${architecture}.${key}`, value]),
  );
  const bytes = ggufFile({ 'general.architecture': { kind: 'string', value: architecture }, ...metadata }, [
    tensor('token_embd.weight', [VOCAB, HIDDEN], any()),
    ...['output_norm', 'blk.0.attn_norm', 'blk.0.ffn_norm'].map((name) => vector(`${name}.weight`, HIDDEN)),
    ...(fused
      ? [block('attn_qkv', HIDDEN + 2 * KV), block('ffn_up', 2 * HIDDEN)]
      : [block('attn_q', HIDDEN), block('attn_k', KV), block('attn_v', KV)]),
    ...(fused ? [] : [block('ffn_gate', HIDDEN), block('ffn_up', HIDDEN)]),
    ...(biases
      ? [
          vector('blk.0.attn_q.bias', HIDDEN),
          vector('blk.0.attn_k.bias', KV),
          vector('blk.0.attn_v.bias', KV),
        ]
      : []),
    ...(biases && architecture === 'llama' ? [vector('blk.0.attn_output.bias', HIDDEN)] : []),
    block('attn_output', HIDDEN),
    block('ffn_down', HIDDEN),
  ]);
  return new File([bytes], 'm.gguf');
}

/** The rows of a weight by their place among all, as kernels read them, with their biases; and the gain of each part. */
function rowsOf({ cols, parts, rows, hasGain, hasBias }: Weight) {
  const bytes = (buffer: GPUBuffer | undefined): ArrayBuffer =>
    (buffer as unknown as { data: ArrayBuffer }).data;
  const values: Float32Array[] = [];
  const dtypes: WeightDtype[] = [];
  const biases = new Float32Array(rows);
  const gains: Float32Array[] = [];
  for (const { row0, rows: count, dtype, factor = 1, codes, scales, vectors } of parts) {
    const size = rowBytes(dtype, cols);
    const beside = new Float32Array(vectors ? bytes(vectors) : new ArrayBuffer(0));
    const before = hasGain ? gainSize(cols) : 0;
    if (hasGain) gains.push(beside.slice(0, cols));
    if (hasBias) biases.set(beside.subarray(before, before + count), row0);
    for (let row = 0; row < count; row++) {
      const of = (buffer: GPUBuffer, each: number) => bytes(buffer).slice(row * each, (row + 1) * each);
      const found = FORMATS[dtype].decode(of(codes, size.codes), scales && of(scales, size.scales), cols);
      dtypes[row0 + row] = dtype;
      values[row0 + row] = found.map((value) => factor * value);
    }
  }
  expect(values).toHaveLength(rows);
  return { values, dtypes, biases, gains };
}

async function loaded(file: File, dtype: 'auto' | 'f32'): Promise<Weights> {
  const { spec, checkpoint, sizes } = await readHeaders(openSource(file), { dtype });
  const gpu = paperGpu(adapterOf('gpu', false));
  Object.assign(gpu.device, {
    pushErrorScope() {},
    popErrorScope: async () => null,
    createBuffer: ({ size }: GPUBufferDescriptor) => ({ size, data: new ArrayBuffer(size), destroy() {} }),
    queue: {
      writeBuffer: (
        to: { data: ArrayBuffer },
        at: number,
        from: ArrayBuffer,
        start: number,
        length: number,
      ) => new Uint8Array(to.data).set(new Uint8Array(from, start, length), at),
    },
  });
  const { weights, fill } = allocateWeights(gpu, new Ledger(gpu), spec, sizes.dtype, sizes.own);
  await fillFromCheckpoint(gpu, fill, checkpoint, tensorsOf(spec));
  return weights;
}

const ALL = Object.keys(TYPES) as GgufType[];
const SETS: [string, GgufType[]][] = [
  ['any types', ALL],
  ['K types', ['Q4_K', 'Q5_K', 'Q6_K']],
  ['old types', ['Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q8_0']],
];

test.each(
  Object.keys(ARCHITECTURES).flatMap((name) => SETS.map(([set, types]) => [name, set, types] as const)),
)('%s of %s', async (architecture, _, types) => {
  for (let seed = 1; seed <= 2; seed++) {
    const file = modelOf(architecture, types, seed);
    const [kept, wide] = [await loaded(file, 'auto'), await loaded(file, 'f32')];
    const both = (of: (weights: Weights) => Weight): void => {
      const [found, expected] = [rowsOf(of(kept)), rowsOf(of(wide))];
      const largest = (of: Float32Array): number => of.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
      for (const [r, row] of expected.values.entries()) {
        const error = largest(row.map((value, i) => found.values[r]![i]! - value));
        // Kept as q8 it was rounded, by scales in f16.
        expect(error, `seed ${seed}, row ${r}`).toBeLessThanOrEqual(largest(row) / 200 + 127 * 2 ** -25);
      }
      expect(found.biases).toEqual(expected.biases);
      for (const gain of found.gains) expect(gain).toEqual(expected.gains[0]);
    };
    both(({ embed }) => embed);
    both(({ attention }) => attention.get(0)!.qkv);
    both(({ attention }) => attention.get(0)!.out);
    both(({ mlp }) => mlp.get(0)!.gateUp);
    both(({ mlp }) => mlp.get(0)!.down);
  }
});

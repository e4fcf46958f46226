// Which format each matrix of a GGUF file is kept in, and how its blocks are read as they are.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readHeaders } from '../../src/engine/engine.ts';
import { readEntries } from '../../src/formats/checkpoint.ts';
import { TYPES } from '../../src/formats/gguf/types.ts';
import { widen } from '../../src/formats/gguf/widen.ts';
import { openSource } from '../../src/formats/open-source.ts';
import { Ledger } from '../../src/gpu/buffer.ts';
import { allocateWeights } from '../../src/model/weights.ts';
import { FORMATS } from '../../src/quant/index.ts';
import { type FileTensor, ggufFile, randomBlocks, type Typed } from '../support/gguf-file.ts';
import { adapterOf, paperGpu } from '../support/paper-gpu.ts';
import { mulberry32 } from '../support/random.ts';

const bytes = new Uint8Array(readFileSync(join(import.meta.dirname, '../fixtures/tiny-llama.gguf')));
const source = openSource(new File([bytes], 'tiny-llama.gguf'));

it('each matrix is in its own format; gate and up of two kinds are f32, and that is said', async () => {
  const { sizes, note } = await readHeaders(source, {});
  const own = Object.fromEntries(
    [...sizes.own!]
      .filter(([name]) => !name.includes('layers.1'))
      .map(([name, dtype]) => [name.split('.').at(-2), dtype]),
  );
  expect(own).toEqual({
    embed_tokens: 'q8',
    ...{ q_proj: 'q8', k_proj: 'q4_1', v_proj: 'q5', o_proj: 'q4_1' },
    ...{ gate_proj: 'f32', up_proj: 'f32', down_proj: 'bf16' },
  });
  expect(note).toMatch(/Q5_1 as f32\.$/);
});

it('a matrix with a factor stays as it is stored: the kernels multiply', async () => {
  const { spec, sizes } = await readHeaders(source, {});
  const scaled = { ...spec, scales: { residual: 0.22, embedding: 12 } };
  const gpu = paperGpu(adapterOf('gpu', false));
  const { weights, fill } = allocateWeights(gpu, new Ledger(gpu), scaled, sizes.dtype, sizes.own);
  const { out } = weights.attention.get(0)!;
  expect(out.parts).toMatchObject([{ dtype: 'q4_1', factor: 0.22 }]);
  expect(weights.mlp.get(0)!.down.parts).toMatchObject([{ dtype: 'bf16', factor: 0.22 }]);
  expect(weights.embed.parts).toMatchObject([{ dtype: 'q8', factor: 12 }]);
  expect(weights.head.parts).toMatchObject([{ dtype: 'q8', factor: 12 }]);
  expect(fill.matrices.filter(({ fold }) => fold)).toEqual([]);
  // The head's gain takes the table's factor back.
  expect(fill.gains.find(({ weight }) => weight === weights.head)!.fold).toEqual({ times: 1 / 12, plus: 0 });
  const { weights: rounded } = allocateWeights(gpu, new Ledger(gpu), scaled, 'q4');
  expect(rounded.attention.get(0)!.out.parts[0]!.factor).toBeUndefined();
});

it('a dtype that is asked for is that of every matrix', async () => {
  const { sizes, note } = await readHeaders(source, { dtype: 'q4' });
  expect(sizes).toMatchObject({ dtype: 'q4', asStored: false, own: new Map() });
  expect(note).toBeUndefined();
});

it('blocks make the values that are read without them, rows in the same order, wherever a span is cut', async () => {
  const [values, blocks] = [await readEntries(source), await readEntries(source, undefined, true)];
  expect([...blocks.keys()]).toEqual([...values.keys()]);
  for (const [name, entry] of blocks) {
    const wide = values.get(name)!;
    const expected = await source.read(wide.file, wide.start, wide.end);
    const length = entry.end - entry.start;
    const cuts = [0, 1, Math.floor(length / 3), length].map((at) => entry.start + at);
    const parts: Uint8Array[] = [];
    await source.readSpans(entry.file, cuts, (part) => parts.push(part.slice()));
    const stored = new Uint8Array(Buffer.concat(parts));
    expect(stored.length, name).toBe(entry.stored!.bytes);
    const read = entry.blocks ? new Uint8Array(widen(stored, entry.blocks).buffer) : stored;
    expect(Buffer.from(read).equals(Buffer.from(expected)), name).toBe(true);
  }
});

it('every format says what it holds: a type of blocks is in one alone', () => {
  const types = Object.values(FORMATS).flatMap((format) =>
    'blocks' in format ? Object.keys(format.blocks!) : [],
  );
  expect(types.sort()).toEqual(['Q4_0', 'Q4_1', 'Q4_K', 'Q5_0', 'Q5_1', 'Q5_K', 'Q6_K', 'Q8_0']);
});

it('blocks of a model in two files are those of each', async () => {
  const random = mulberry32(3);
  const matrix = (name: string): FileTensor => {
    const data = randomBlocks('Q6_K', 4, random);
    return { name: `${name}.weight`, shape: [4, 256], type: TYPES.Q6_K.id, data };
  };
  const u = (kind: 'u16' | 'u32' | 'i32', value: number): Typed => ({ kind, value });
  const split = (no: number): Record<string, Typed> => ({
    'split.no': u('u16', no),
    'split.count': u('u16', 2),
    'split.tensors.count': u('i32', 3),
  });
  const facts: Record<string, Typed> = {
    'general.architecture': { kind: 'string', value: 'qwen2' },
    'qwen2.block_count': u('u32', 1),
    'qwen2.context_length': u('u32', 8),
    'qwen2.embedding_length': u('u32', 256),
    'qwen2.feed_forward_length': u('u32', 4),
    'qwen2.attention.head_count': u('u32', 1),
    'qwen2.attention.layer_norm_rms_epsilon': { kind: 'f32', value: 1e-6 },
  };
  const [table, gate, up] = ['token_embd', 'blk.0.ffn_gate', 'blk.0.ffn_up'].map(matrix) as [
    FileTensor,
    FileTensor,
    FileTensor,
  ];
  const files = [ggufFile({ ...facts, ...split(0) }, [table, gate]), ggufFile(split(1), [up])].map(
    (content, i) => new File([content], `m-0000${i + 1}-of-00002.gguf`),
  );
  const model = openSource(files);
  const entries = await readEntries(model, undefined, true);
  for (const [name, { data }] of [
    ['model.embed_tokens.weight', table],
    ['model.layers.0.mlp.gate_proj.weight', gate],
    ['model.layers.0.mlp.up_proj.weight', up],
  ] as const) {
    const { file, start, end, blocks } = entries.get(name)!;
    expect(blocks).toBe('Q6_K');
    expect(Buffer.from(await model.read(file, start, end)).equals(Buffer.from(data)), name).toBe(true);
  }
});

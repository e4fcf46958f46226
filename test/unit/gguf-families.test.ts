// Each architecture of GGUF files, run by the reference forward, against transformers.
import { expect, it, test } from 'vitest';
import { ShishuError } from '../../src/errors.ts';
import { specOf } from '../../src/families/index.ts';
import { checkpointOf, readEntries } from '../../src/formats/checkpoint.ts';
import { bytesToF32 } from '../../src/formats/float.ts';
import { readJson } from '../../src/formats/json.ts';
import { openSource } from '../../src/formats/open-source.ts';
import type { Source } from '../../src/formats/source.ts';
import { type AttentionMixer, planOf, tensorsOf } from '../../src/model/spec.ts';
import { referenceLogits } from '../reference/forward.ts';
import { difference } from '../support/family-fixtures.ts';
import { GGUF_FAMILIES, ggufFamily } from '../support/gguf-families.ts';
import { type FileTensor, ggufFile, type Typed } from '../support/gguf-file.ts';
import { mulberry32 } from '../support/random.ts';

const configOf = (source: Source) => readJson(source, 'config.json', { code: 'bad-config' });

test.each(GGUF_FAMILIES)('%s: logits are those of transformers', async (name) => {
  const { file, prompt, logits, context } = await ggufFamily(name);
  const source = openSource(file);
  const spec = specOf(await configOf(source));
  const checkpoint = checkpointOf(source, await readEntries(source), tensorsOf(spec));
  const tensors = new Map(
    await Promise.all(
      [...checkpoint.tensors].map(
        async ([tensor, { shape, dtype }]) =>
          [tensor, { shape, data: bytesToF32(await checkpoint.read(tensor), dtype) }] as const,
      ),
    ),
  );
  expect(difference(referenceLogits(spec, tensors, prompt, planOf(spec), context), logits)).toBeLessThan(
    1e-4,
  );
});

test.each(GGUF_FAMILIES)(
  '%s: bytes to fetch are those of its tensors, also where one holds several',
  async (name) => {
    const { file } = await ggufFamily(name);
    const source = openSource(file);
    const spec = specOf(await configOf(source));
    const entries = await readEntries(source, undefined, true);
    const { storedBytes, bytes } = checkpointOf(source, entries, tensorsOf(spec));
    const sum = [...entries.values()].reduce((all, { stored }) => all + stored!.bytes, 0);
    expect([storedBytes, bytes]).toEqual([sum, sum]);
  },
);

const f32 = (value: number): Typed => ({ kind: 'f32', value });
const u32 = (value: number): Typed => ({ kind: 'u32', value });
const list = (value: number[]): Typed => ({ kind: 'array', of: 'i32', value });
const text = (value: string): Typed => ({ kind: 'string', value });
const EMBEDDING = { name: 'token_embd.weight', shape: [8, 32], type: 0, data: new Uint8Array(8 * 32 * 4) };

/** The config of a file of three blocks with these keys beside the usual ones. */
function read(architecture: string, keys: Record<string, Typed>, more: FileTensor[] = []) {
  const own = {
    block_count: u32(3),
    context_length: u32(64),
    embedding_length: u32(32),
    feed_forward_length: u32(48),
    'attention.head_count': u32(4),
    'attention.head_count_kv': u32(2),
    'attention.layer_norm_rms_epsilon': f32(1e-5),
    ...keys,
  };
  const metadata = Object.fromEntries(
    Object.entries(own).map(([key, value]) => [`${architecture}.${key}`, value]),
  );
  const tensors = Array.from({ length: 4 }, (_, i) => ({ ...EMBEDDING, name: `blk.${i}.x` }));
  const bytes = ggufFile({ 'general.architecture': text(architecture), ...metadata }, [
    EMBEDDING,
    ...tensors,
    ...more,
  ]);
  return configOf(openSource(new File([bytes], 'm.gguf')));
}

it('what llama.cpp takes where a file says nothing', async () => {
  const granite = specOf(await read('granite', {}));
  expect(granite.scales).toEqual({ embedding: 1, residual: 1, logits: 1 });
  expect((granite.blocks[0]!.mixer as AttentionMixer).scoreScale).toBe(8 ** -0.5);
  const gemma = specOf(await read('gemma3', { 'attention.sliding_window': u32(16) }));
  expect(gemma.gainOffset).toBe(0);
  expect((gemma.blocks[0]!.mixer as AttentionMixer).rope).toMatchObject({ theta: 10000 });
  const phi = specOf(await read('phi3', { 'rope.dimension_count': u32(4) }));
  expect((phi.blocks[0]!.mixer as AttentionMixer).rope).toMatchObject({
    rotated: 4,
    scaling: { type: 'none' },
  });
});

it('Llama 4: a window of 0 says that all layers rotate and attend to all', async () => {
  const dense = { interleave_moe_layer_step: u32(0), expert_count: u32(16), block_count: u32(4) };
  const of = async (keys: Record<string, Typed>) => {
    const json = await read('llama4', { ...dense, ...keys });
    const { blocks, maxPositions } = specOf({ ...json, max_position_embeddings: 20000 });
    return [blocks.map(({ mixer }) => (mixer as AttentionMixer).rope !== undefined), maxPositions];
  };
  expect(await of({ 'attention.sliding_window': u32(0) })).toEqual([[true, true, true, true], 20000]);
  // As in Llama 4 itself: within one chunk, and before queries are scaled.
  expect(await of({})).toEqual([[true, true, true, false], 8191]);
});

it('LFM2: blocks without heads of K and V are convolutions', async () => {
  const l_cache = { 'shortconv.l_cache': u32(3) };
  const of = async (heads: number[]) =>
    specOf(await read('lfm2', { ...l_cache, 'attention.head_count_kv': list(heads) }));
  expect(planOf(await of([0, 2, 0])).map(({ kind }) => kind)).toEqual(['conv', 'attention', 'conv']);
  for (const heads of [
    [0, 2, 4],
    [0, 2],
    [0, 0, 0],
  ])
    await expect(of(heads)).rejects.toMatchObject({
      code: 'unsupported',
      details: { key: 'lfm2.attention.head_count_kv' },
    });
});

it('200 damaged files give a model or a typed error', async () => {
  let refused = 0;
  for (let seed = 1; seed <= 200; seed++) {
    const random = mulberry32(seed);
    const { file } = await ggufFamily(GGUF_FAMILIES[seed % GGUF_FAMILIES.length]!);
    const bytes = new Uint8Array(await file.arrayBuffer());
    // Numbers of the metadata, and what tensors are called.
    for (let i = 0; i < 12; i++) {
      const at = Math.floor(random() * (i % 2 ? 800 : 8000));
      bytes[at] = random() < 0.3 ? 255 : Math.floor(random() * 256);
    }
    const source = openSource(new File([bytes], 'm.gguf'));
    const made = async () => {
      const spec = specOf(await configOf(source));
      checkpointOf(source, await readEntries(source), tensorsOf(spec));
    };
    const error = await made().then(
      () => undefined,
      (e: unknown) => e,
    );
    if (error === undefined) continue;
    expect(error, `seed ${seed}: ${(error as Error).stack}`).toBeInstanceOf(ShishuError);
    refused++;
  }
  expect(refused).toBeGreaterThan(100);
});

it('factors of RoPE that are no list of factors', async () => {
  const factors = {
    ...EMBEDDING,
    name: 'rope_factors_long.weight',
    shape: [64, 32],
    data: new Uint8Array(64 * 32 * 4),
  };
  await expect(read('phi3', {}, [factors])).rejects.toMatchObject({
    code: 'bad-checkpoint',
    details: { tensor: 'rope_factors_long.weight' },
  });
});

it.each([
  ['olmo2', 'rope.dimension_count', u32(4)],
  ['smollm3', 'attention.head_count_kv', list([2, 2, 1])],
  ['gemma3', 'attn_temperature_scale', f32(0.5)],
  ['llama4', 'experts', u32(2)],
  ['deepseek2', 'block_count', u32(3)],
] as const)('%s: %s is refused by name', async (architecture, key, value) => {
  const name = architecture === 'deepseek2' ? architecture : key;
  const keys = { [key === 'experts' ? 'interleave_moe_layer_step' : key]: value };
  await expect(read(architecture, keys).then(specOf)).rejects.toMatchObject({
    code: 'unsupported',
    message: expect.stringContaining(name),
  });
});

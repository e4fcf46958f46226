// Reading LoRA adapters: what a config asks for, what is refused by name, and what is merged into weights.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { mergeAdapter } from '../../src/convert/merge.ts';
import { specOf } from '../../src/families/index.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { bytesToF32 } from '../../src/formats/float.ts';
import { readJson } from '../../src/formats/json.ts';
import { openSource } from '../../src/formats/open-source.ts';
import { encodeSafetensors, type NamedTensor } from '../../src/formats/safetensors.ts';
import { Ledger } from '../../src/gpu/buffer.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { readAdapter } from '../../src/model/adapter.ts';
import { adapterConfigOf } from '../../src/model/adapter-config.ts';
import { AdapterSet } from '../../src/model/adapters.ts';
import { type ModelSpec, tensorsOf } from '../../src/model/spec.ts';
import { allocateWeights } from '../../src/model/weights.ts';
import { ADAPTER_FIXTURES, adapterFixture } from '../support/adapter-fixtures.ts';
import { difference } from '../support/family-fixtures.ts';
import { memorySource } from '../support/memory-source.ts';
import { adapterOf, paperGpu } from '../support/paper-gpu.ts';
import { mulberry32 } from '../support/random.ts';

const LLAMA = {
  model_type: 'llama',
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  vocab_size: 16,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
};
const SPEC = specOf(LLAMA);
const CONFIG = { peft_type: 'LORA', task_type: 'CAUSAL_LM', r: 2, lora_alpha: 4, target_modules: ['q_proj'] };

type Named = Record<string, readonly number[]>;

/** Factors of q_proj of both layers. */
const FACTORS: Named = Object.fromEntries(
  [0, 1].flatMap((layer) => [
    [`base_model.model.model.layers.${layer}.self_attn.q_proj.lora_A.weight`, [2, 8]],
    [`base_model.model.model.layers.${layer}.self_attn.q_proj.lora_B.weight`, [8, 2]],
  ]),
);

function weightsOf(
  shapes: Named,
  values: (name: string, count: number) => number[] | Float32Array,
): Uint8Array {
  const tensors = Object.entries(shapes).map(([name, shape]): NamedTensor => {
    const count = shape.reduce((a, b) => a * b, 1);
    return { name, dtype: 'F32', shape, data: Float32Array.from(values(name, count)) };
  });
  return encodeSafetensors(tensors);
}

const random = mulberry32(3);
const drawn = (_: string, count: number): Float32Array =>
  Float32Array.from({ length: count }, () => random() - 0.5);

const folder = (config: unknown, shapes = FACTORS, values: Parameters<typeof weightsOf>[1] = drawn) =>
  memorySource({
    'adapter_config.json': typeof config === 'string' ? config : JSON.stringify(config),
    'adapter_model.safetensors': weightsOf(shapes, values),
  });

const read = (source: ReturnType<typeof folder>, spec: ModelSpec = SPEC) => readAdapter(source, spec);

describe('what a config asks for', () => {
  const name = (layer: number, module: string): string => `model.layers.${layer}.${module}`;
  const q = name(1, 'self_attn.q_proj');

  test.each([
    [['q_proj'], [q], [name(1, 'self_attn.k_proj'), name(0, 'my_q_proj')]],
    [['model.layers.1.self_attn.q_proj'], [q], [name(0, 'self_attn.q_proj')]],
    ['.*\\.(q|v)_proj', [q, name(0, 'self_attn.v_proj')], [`${q}.x`, name(0, 'mlp.up_proj')]],
    ['All-Linear', [q, name(0, 'mlp.down_proj')], []],
  ])('target_modules %j', (asked, inside, outside) => {
    const { targets } = adapterConfigOf({ ...CONFIG, target_modules: asked });
    expect(inside.filter((module) => !targets(module))).toEqual([]);
    expect(outside.filter(targets)).toEqual([]);
  });

  test('layers, and modules that are excluded', () => {
    const all = [0, 1, 12].map((layer) => name(layer, 'self_attn.q_proj'));
    const inside = (more: object): number[] => {
      const { targets } = adapterConfigOf({ ...CONFIG, ...more });
      return all.flatMap((module, i) => (targets(module) ? [i] : []));
    };
    expect(inside({ layers_to_transform: 1 })).toEqual([1]);
    expect(inside({ layers_to_transform: [0, 12], layers_pattern: 'layers' })).toEqual([0, 2]);
    expect(inside({ layers_to_transform: [0], layers_pattern: ['h', 'blocks'] })).toEqual([]);
    expect(inside({ layers_to_transform: [1], layers_pattern: '(h|layers)' })).toEqual([1]);
    expect(inside({ exclude_modules: ['layers.1.self_attn.q_proj'] })).toEqual([0, 2]);
    expect(inside({ exclude_modules: '.*\\.1\\..*', layers_to_transform: [] })).toEqual([0, 2]);
  });

  test('ranks and scales by patterns', () => {
    const config = adapterConfigOf({
      ...CONFIG,
      rank_pattern: { 'layers.1.self_attn.q_proj': 8 },
      alpha_pattern: { 'self_attn\\.[qk]_proj': 16, q_proj: 100 },
    });
    expect([config.rankOf(q), config.scaleOf(q)]).toEqual([8, 2]);
    expect(config.rankOf(name(11, 'self_attn.q_proj'))).toBe(2);
    expect(config.scaleOf(name(0, 'mlp.up_proj'))).toBe(2);
    expect(adapterConfigOf({ ...CONFIG, r: 4, use_rslora: true }).scaleOf(q)).toBe(2);
  });
});

describe('what is refused, by name', () => {
  test.each<[object | string, string, string]>([
    ['{"r": 2', 'bad-config', 'adapter_config.json: not JSON'],
    ['[]', 'bad-config', 'expected a JSON object'],
    [{ r: 2 }, 'bad-config', '"peft_type" is missing'],
    [{ ...CONFIG, peft_type: 'IA3' }, 'unsupported', '"peft_type" is "IA3"'],
    [{ ...CONFIG, task_type: 'SEQ_CLS' }, 'unsupported', '"task_type" is "SEQ_CLS"'],
    [{ ...CONFIG, r: 0 }, 'bad-config', '"r" is 0'],
    [{ ...CONFIG, r: undefined }, 'bad-config', '"r" is missing'],
    [{ ...CONFIG, r: 1.5 }, 'bad-config', '"r" is 1.5'],
    [{ ...CONFIG, lora_alpha: 'x' }, 'bad-config', '"lora_alpha" is "x"'],
    [{ ...CONFIG, target_modules: null }, 'bad-config', '"target_modules" names no modules'],
    [{ ...CONFIG, target_modules: ['c_attn'] }, 'bad-checkpoint', 'has no place for'],
    [{ ...CONFIG, target_modules: ['q_proj', 'lm_head'] }, 'unsupported', 'names "lm_head"'],
    [{ ...CONFIG, target_modules: ['embed_tokens'] }, 'unsupported', 'names "embed_tokens"'],
    [{ ...CONFIG, target_modules: '(?P<x>q_proj)' }, 'unsupported', 'this pattern is not supported'],
    // To other readers of patterns \\Z is a letter, and {,1} three signs.
    [{ ...CONFIG, alpha_pattern: { '.*q_proj\\Z': 16 } }, 'unsupported', 'this pattern is not supported'],
    [
      { ...CONFIG, rank_pattern: { 'layers\\.1{,1}\\..*': 16 } },
      'unsupported',
      'this pattern is not supported',
    ],
    [{ ...CONFIG, use_dora: true }, 'unsupported', '"use_dora" is true: DoRA is not supported'],
    [{ ...CONFIG, bias: 'all' }, 'unsupported', '"bias" is "all"'],
    [{ ...CONFIG, fan_in_fan_out: true }, 'unsupported', '"fan_in_fan_out"'],
    [{ ...CONFIG, modules_to_save: ['lm_head'] }, 'unsupported', '"modules_to_save" is ["lm_head"]'],
    [{ ...CONFIG, init_lora_weights: 'pissa' }, 'unsupported', '"init_lora_weights" is "pissa"'],
    [{ ...CONFIG, some_new_field: 3 }, 'unsupported', '"some_new_field" is 3'],
    [{ ...CONFIG, rank_pattern: { q_proj: 0 } }, 'bad-config', '"rank_pattern" gives "q_proj" 0'],
    [{ ...CONFIG, layers_to_transform: ['1'] }, 'bad-config', '"layers_to_transform"'],
  ])('%j', async (config, code, message) => {
    const error = await read(folder(config)).catch((thrown) => thrown);
    expect(error).toMatchObject({ code, message: expect.stringContaining(message) });
  });

  const at = 'base_model.model.model.layers.1.self_attn.q_proj';
  const without = (name: string): Named =>
    Object.fromEntries(Object.entries(FACTORS).filter(([each]) => each !== name));
  test.each<[string, Named, string, string]>([
    ['no A', without(`${at}.lora_A.weight`), 'bad-checkpoint', `tensor "${at}.lora_A.weight" is missing`],
    ['no B', without(`${at}.lora_B.weight`), 'bad-checkpoint', `tensor "${at}.lora_B.weight" is missing`],
    [
      'another rank',
      { ...FACTORS, [`${at}.lora_A.weight`]: [3, 8] },
      'bad-checkpoint',
      'has shape [3,8], the model and adapter_config.json ask for [2,8]. The adapter says it is of far/away',
    ],
    [
      'another model',
      { ...FACTORS, [`${at}.lora_B.weight`]: [16, 2] },
      'bad-checkpoint',
      'has shape [16,2], the model and adapter_config.json ask for [8,2]',
    ],
    [
      'more',
      { ...FACTORS, [`${at.replace('q', 'k')}.lora_A.weight`]: [2, 8] },
      'bad-checkpoint',
      `has no place for "${at.replace('q', 'k')}.lora_A.weight"`,
    ],
    [
      'a layer more',
      { ...FACTORS, [`${at.replace('1', '7')}.lora_A.weight`]: [2, 8] },
      'bad-checkpoint',
      'layers.7',
    ],
    ['DoRA', { ...FACTORS, [`${at}.lora_magnitude_vector`]: [8] }, 'unsupported', 'is DoRA'],
    [
      'embedding',
      { ...FACTORS, 'base_model.model.model.embed_tokens.lora_embedding_A': [2, 8] },
      'unsupported',
      'an adapter of the embedding',
    ],
    [
      'a module',
      { ...FACTORS, 'base_model.model.lm_head.weight': [16, 8] },
      'unsupported',
      'of the embedding or the head',
    ],
    ['a bias', { ...FACTORS, [`${at}.lora_B.bias`]: [8] }, 'unsupported', 'is a bias'],
  ])('tensors: %s', async (_, shapes, code, message) => {
    const config = { ...CONFIG, base_model_name_or_path: 'far/away' };
    const error = await read(folder(config, shapes)).catch((thrown) => thrown);
    expect(error).toMatchObject({ code, message: expect.stringContaining(message) });
  });

  test('values that are no numbers, a file that is cut short, files that are not there', async () => {
    const odd = (name: string, count: number) =>
      Array.from({ length: count }, (_, i) =>
        name.includes('1.self_attn.q_proj.lora_B') && i === 5 ? Number.NaN : 1,
      );
    await expect(read(folder(CONFIG, FACTORS, odd))).rejects.toThrow(
      `element 5 of tensor "${at}.lora_B.weight" is NaN`,
    );
    const config = JSON.stringify(CONFIG);
    const whole = weightsOf(FACTORS, drawn);
    for (const length of [0, 5, 100, whole.length - 1]) {
      const files = { 'adapter_config.json': config, 'adapter_model.safetensors': whole.subarray(0, length) };
      await expect(readAdapter(memorySource(files), SPEC)).rejects.toMatchObject({
        code: expect.stringMatching(/bad-checkpoint|io/),
      });
    }
    for (const file of ['adapter_config.json', 'adapter_model.safetensors']) {
      const files: Record<string, string | Uint8Array> = {
        'adapter_config.json': config,
        'adapter_model.safetensors': whole,
      };
      delete files[file];
      await expect(readAdapter(memorySource(files), SPEC)).rejects.toMatchObject({
        code: 'not-found',
        message: expect.stringContaining('An adapter is a folder'),
      });
    }
  });
});

test('an MLP that blocks share has one adapter, under the names of one block or of all', async () => {
  const shared = specOf({
    ...LLAMA,
    model_type: 'shishu-llama',
    num_hidden_layers: 3,
    num_decoder_front: 1,
    num_mlp: 2,
    num_mlp_shared: 1,
    num_decoder_end: 0,
  });
  const config = { ...CONFIG, target_modules: ['up_proj'] };
  const factors = (layer: number): Named => ({
    [`base_model.model.model.layers.${layer}.mlp.up_proj.lora_A.weight`]: [2, 8],
    [`base_model.model.model.layers.${layer}.mlp.up_proj.lora_B.weight`]: [12, 2],
  });
  const same = (name: string, count: number) =>
    Array.from({ length: count }, (_, i) => Number(name.includes('lora_A')) + i);
  for (const layers of [
    [0, 1],
    [0, 2],
    [0, 1, 2],
  ]) {
    const { parts } = await read(folder(config, Object.assign({}, ...layers.map(factors)), same), shared);
    expect(parts.map(({ module }) => module.names.length)).toEqual([1, 2]);
  }
  const differing = folder(config, { ...factors(0), ...factors(1), ...factors(2) });
  await expect(read(differing, shared)).rejects.toThrow('differs from');
});

test('merges into the values of a GGUF file, which are in its blocks no more', async () => {
  const gguf = new Uint8Array(readFileSync(join(import.meta.dirname, '../fixtures/tiny-llama.gguf')));
  const source = openSource(new File([gguf], 'tiny-llama.gguf'));
  const spec = specOf(await readJson(source, 'config.json', { code: 'bad-config' }));
  const shapes = Object.fromEntries(
    [0, 1].flatMap((layer) => [
      [`base_model.model.model.layers.${layer}.self_attn.q_proj.lora_A.weight`, [2, 64]],
      [`base_model.model.model.layers.${layer}.self_attn.q_proj.lora_B.weight`, [64, 2]],
    ]),
  );
  const adapter = folder(CONFIG, shapes);
  const merged = await mergeAdapter(source, adapter);
  const { parts } = await readAdapter(adapter, spec);
  const name = 'model.layers.1.self_attn.q_proj.weight';
  const values = async (from: typeof merged): Promise<Float32Array> => {
    const checkpoint = await openCheckpoint(from, tensorsOf(spec));
    const { dtype } = checkpoint.tensors.get(name)!;
    return bytesToF32(await checkpoint.read(name), dtype);
  };
  const [found, before] = await Promise.all([values(merged), values(source)]);
  const { A, B, scale } = parts[1]!;
  const expected = before.map((value, i) => {
    const [row, col] = [Math.floor(i / 64), i % 64];
    return value + scale * (B[2 * row]! * A[col]! + B[2 * row + 1]! * A[64 + col]!);
  });
  expect(difference(found, expected)).toBeLessThan(1e-6);
  expect(difference(before, expected)).toBeGreaterThan(0.1);
});

describe('memoryLimit', () => {
  const paper = paperGpu(adapterOf('gpu', false));
  const device = {
    ...paper.device,
    pushErrorScope() {},
    popErrorScope: async () => null,
    createCommandEncoder: () => ({ copyBufferToBuffer() {}, finish() {} }),
    queue: { writeBuffer() {}, submit() {} },
  };
  const gpu = { ...paper, device } as unknown as Gpu;
  const setUp = (memoryLimit: number) => {
    const ledger = new Ledger(gpu);
    const { weights } = allocateWeights(gpu, ledger, SPEC, 'f32');
    return {
      ledger,
      set: new AdapterSet({ gpu, ledger, spec: SPEC, weights, sequences: 1, rows: 8, memoryLimit }),
    };
  };
  const ofRank = (r: number) =>
    read(
      folder(
        { ...CONFIG, r },
        Object.fromEntries(
          Object.entries(FACTORS).map(([name, [rows, cols]]) => [
            name,
            name.includes('lora_A') ? [r, cols!] : [rows!, r],
          ]),
        ),
      ),
    );

  test('adapters fit where it allows what they take in the end, to the byte', async () => {
    const two = [await ofRank(2), await ofRank(300)];
    const { ledger, set } = setUp(Number.POSITIVE_INFINITY);
    for (const adapter of two) await set.add(adapter);
    const exact = setUp(ledger.bytes());
    for (const adapter of two) await exact.set.add(adapter);
    expect(exact.ledger.bytes()).toBe(ledger.bytes());
    const less = setUp(ledger.bytes() - 1);
    await less.set.add(two[0]!);
    const before = less.ledger.bytes();
    await expect(less.set.add(two[1]!)).rejects.toMatchObject({ code: 'does-not-fit' });
    expect(less.ledger.bytes()).toBe(before);
  });

  test('one of several is taken away where it is passed already, by maps that came after', async () => {
    const limit = 100_000;
    const { ledger, set } = setUp(limit);
    const adapter = await ofRank(2);
    const before = ledger.bytes();
    const [first, second] = [await set.add(adapter), await set.add(adapter)];
    const maps = ledger.storage('linear maps', limit, 'weights');
    await expect(set.add(adapter)).rejects.toMatchObject({ code: 'does-not-fit' });
    await set.remove(first);
    await set.remove(second);
    ledger.release(maps);
    expect(ledger.bytes()).toBe(before);
  });
});

describe.each(ADAPTER_FIXTURES)('%s merged', (name) => {
  test('is what peft makes of it', async () => {
    const { base, files, merged } = await adapterFixture(name);
    const source = memorySource(base.files);
    const config = JSON.parse(base.files['config.json'] as string);
    const specs = tensorsOf(specOf(config));
    const child = await openCheckpoint(await mergeAdapter(source, memorySource(files)), specs);
    const parent = await openCheckpoint(source, specs);
    let changed = 0;
    for (const { name: tensor, within, shape } of specs) {
      const stored = child.tensors.get(tensor);
      if (!stored) continue;
      const [found, before] = await Promise.all([child.read(tensor), parent.read(tensor)]);
      const expected = merged
        .get(within?.name ?? tensor)
        ?.slice(within?.row ?? 0, (within?.row ?? 0) + shape[0]!);
      if (!expected) {
        expect(found, tensor).toEqual(before);
        continue;
      }
      changed++;
      const values = bytesToF32(found, stored.dtype);
      const sums = expected.map((_, row) =>
        values.subarray(row * shape[1]!, (row + 1) * shape[1]!).reduce((sum, value) => sum + value, 0),
      );
      // Weights are stored as BF16.
      expect(difference(sums, expected), tensor).toBeLessThan(0.01);
      // A part of a matrix, from inside a row.
      expect(await child.read(tensor, 6, 50)).toEqual(found.subarray(6, 50));
    }
    expect(changed).toBeGreaterThanOrEqual(merged.size);
  });
});

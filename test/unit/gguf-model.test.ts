// A GGUF file as a model: the config, tensors in the order that families know, the tokenizer, and every way to name the file.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readHeaders } from '../../src/engine/engine.ts';
import { ShishuError } from '../../src/errors.ts';
import { specsOf } from '../../src/families/index.ts';
import { checkpointOf, readEntries } from '../../src/formats/checkpoint.ts';
import { embeddingFilesOf } from '../../src/formats/find-embedding.ts';
import { ggufPlace } from '../../src/formats/find-gguf.ts';
import { bytesToF32 } from '../../src/formats/float.ts';
import { readGeneration } from '../../src/formats/generation.ts';
import { readJson } from '../../src/formats/json.ts';
import { openFolder } from '../../src/formats/node-folder.ts';
import { openSource } from '../../src/formats/open-source.ts';
import type { Source } from '../../src/formats/source.ts';
import { loadTokenizer } from '../../src/formats/tokenizer.ts';
import { tensorsOf } from '../../src/model/spec.ts';
import expected from '../fixtures/tiny-llama.json' with { type: 'json' };
import { unpacked } from '../support/fixture-bytes.ts';
import { type FileTensor, ggufFile, type Typed } from '../support/gguf-file.ts';
import { mulberry32 } from '../support/random.ts';
import { sentencepieceFiles } from '../support/sentencepiece-tokenizer.ts';

const FIXTURES = join(import.meta.dirname, '../fixtures');
const bytes = new Uint8Array(readFileSync(join(FIXTURES, 'tiny-llama.gguf')));
const file = new File([bytes], 'tiny-llama.gguf');
const folderOf = (files: Record<string, Uint8Array<ArrayBuffer>>): Source =>
  openSource(Object.entries(files).map(([name, content]) => new File([content], name)));

const configOf = (source: Source) => readJson(source, 'config.json', { code: 'bad-config' });

describe('the model of a file that Python wrote', () => {
  it('has the config that transformers was given', async () => {
    expect(await configOf(openSource(file))).toMatchObject({
      model_type: 'llama',
      vocab_size: 320,
      hidden_size: 64,
      intermediate_size: 64,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      head_dim: 16,
      max_position_embeddings: 512,
      rms_norm_eps: 1e-5,
      tie_word_embeddings: true,
      bos_token_id: 0,
      eos_token_id: 1,
      rope_theta: 10000,
      rope_scaling: {
        rope_type: 'llama3',
        factor: 8,
        low_freq_factor: 1,
        high_freq_factor: 4,
        original_max_position_embeddings: 64,
      },
    });
  });

  it('has the tensors that its family wants, widened, rows of q and k as transformers has them', async () => {
    const source = openSource(file);
    const [spec] = specsOf(await configOf(source));
    const checkpoint = checkpointOf(source, await readEntries(source), tensorsOf(spec));
    expect(checkpoint.storedBytes).toBeLessThan(bytes.length);
    expect(checkpoint.bytes).toBeGreaterThan(checkpoint.storedBytes);
    for (const [name, row] of Object.entries(expected.tensors)) {
      const { dtype, stored, end, start } = checkpoint.tensors.get(name)!;
      expect(stored?.type).toMatch(/^Q/);
      const values = bytesToF32(await checkpoint.read(name), dtype);
      expect(values.length).toBe((end - start) / 4);
      expect(values.slice(-64)).toEqual(unpacked(row));
    }
  });

  it('any span of a file is the same bytes as in the whole', async () => {
    const source = openSource(file);
    const entries = await readEntries(source);
    const size = Math.max(...[...entries.values()].map(({ end }) => end));
    const whole = await source.read('tiny-llama.gguf');
    expect(whole.length).toBe(size);
    const cuts = [0, 5, 5, 4096, 4097, 100_000, 163_840, 163_841, size - 3, size];
    const spans: Uint8Array[] = [];
    // By one connection, as from a server.
    const { GgufWeights } = await import('../../src/formats/gguf/weights.ts');
    const { readGguf } = await import('../../src/formats/gguf/header.ts');
    const plain = openSource({ read: (_, start, end) => bytes.slice(start, end), size: () => bytes.length });
    const { tensors } = await readGguf(plain, 'tiny-llama.gguf');
    tensors.delete('rope_freqs.weight');
    const weights = new GgufWeights(plain, tensors, (name) =>
      /attn_[qk]\.weight$/.test(name) ? 16 : undefined,
    );
    await weights.readSpans('tiny-llama.gguf', cuts, (span) => spans.push(span.slice()));
    expect(spans.map(({ length }) => length)).toEqual(cuts.slice(1).map((cut, i) => cut - cuts[i]!));
    expect(Buffer.concat(spans).equals(whole)).toBe(true);
    for (const [start, end] of [
      [1, 2],
      [163_839, 163_842],
      [size - 1, size],
    ] as const)
      expect(await source.read('tiny-llama.gguf', start, end)).toEqual(whole.slice(start, end));
  });

  it('has the ids that tokenizers gives, the tokens that end a reply, and the chat template', async () => {
    const source = openSource(file);
    const tokenizer = await loadTokenizer(source, 320);
    for (const { text, ids } of expected.texts) {
      // The file's pre-tokenizer has begin-of-text before every text.
      expect(tokenizer.encode(text), text).toEqual([0, ...ids]);
      expect(tokenizer.decode(ids, { skipSpecialTokens: false })).toBe(text);
    }
    expect(tokenizer.applyChatTemplate([{ role: 'user', content: 'hi' }])).toBe(
      '<|begin|>user: hi<|eot|>assistant: ',
    );
    expect(await readGeneration(source, { eosTokenIds: [], vocabSize: 320 }, tokenizer)).toEqual({
      eosTokenIds: [1, 2],
      sampling: {},
    });
  });
});

describe('ways to name a file', () => {
  const sources: [string, Source | Promise<Source>][] = [
    ['a File', openSource(file)],
    ['a list of files', openSource([file, new File(['x'], 'README.md')])],
    [
      'an address',
      openSource('https://x.test/m/tiny-llama.gguf?a=b', {
        fetch: served('https://x.test/m/tiny-llama.gguf?a=b'),
      }),
    ],
    [
      'a hub’s repository',
      openSource('some/model/tiny-llama.gguf', {
        fetch: served('https://huggingface.co/some/model/resolve/main/tiny-llama.gguf'),
      }),
    ],
    [
      'a folder with a GGUF alone',
      openFolder(FIXTURES).then((folder) =>
        openSource({ ...folder, list: () => ['tiny-llama.gguf', 'a.json'] }),
      ),
    ],
  ];

  function served(address: string): typeof fetch {
    return async (url, init) => {
      expect(String(url)).toBe(address);
      const [, from, to] = /bytes=(\d+)-(\d*)/.exec(new Headers(init?.headers).get('Range') ?? '') ?? [];
      const start = Number(from ?? 0);
      const part = bytes.slice(start, to ? Number(to) + 1 : undefined);
      const headers = { 'Content-Range': `bytes ${start}-${start + part.length - 1}/${bytes.length}` };
      return new Response(part, { status: 206, headers });
    };
  }

  it.each(sources)('%s', async (_, opening) => {
    const source = await opening;
    const json = await configOf(source);
    const [spec] = specsOf(json);
    const checkpoint = checkpointOf(source, await readEntries(source), tensorsOf(spec));
    const name = 'model.layers.1.self_attn.q_proj.weight';
    const values = bytesToF32(await checkpoint.read(name), 'F32');
    expect(values.slice(-64)).toEqual(unpacked(expected.tensors[name]));
  });

  it.each([
    ['./models/m.gguf', { folder: './models/', file: 'm.gguf' }],
    ['https://x.test/a/m%20n.gguf?k=1', { folder: 'https://x.test/a/?k=1', file: 'm n.gguf' }],
    ['https://x.test/a/50%.gguf', { folder: 'https://x.test/a/', file: '50%.gguf' }],
    ['owner/name', undefined],
    ['https://x.test/a/?file=m.gguf', undefined],
  ])('%s', (address, place) => {
    expect(ggufPlace(address)).toEqual(place);
  });

  it('a folder with safetensors is that model; one with several GGUF files is refused by their names', async () => {
    const both = folderOf({
      'config.json': Uint8Array.of(0x7b, 0x7d),
      'model.safetensors': bytes,
      'a.gguf': bytes,
    });
    expect(await configOf(both)).toEqual({});
    await expect(configOf(folderOf({ 'a.gguf': bytes, 'b.gguf': bytes }))).rejects.toThrow(
      /2 GGUF files.*Name one of them: a\.gguf, b\.gguf/,
    );
    await expect(configOf(folderOf({ 'a.txt': bytes }))).rejects.toMatchObject({ code: 'not-found' });
  });
});

const CONFIG: Record<string, Typed> = {
  'general.architecture': { kind: 'string', value: 'qwen2' },
  'qwen2.block_count': { kind: 'u32', value: 1 },
  'qwen2.context_length': { kind: 'u32', value: 32 },
  'qwen2.embedding_length': { kind: 'u32', value: 8 },
  'qwen2.feed_forward_length': { kind: 'u32', value: 8 },
  'qwen2.attention.head_count': { kind: 'u32', value: 2 },
  'qwen2.attention.layer_norm_rms_epsilon': { kind: 'f32', value: 1e-6 },
};
const EMBEDDING: FileTensor = {
  name: 'token_embd.weight',
  shape: [4, 8],
  type: 0,
  data: new Uint8Array(128),
};
const refusal = async (metadata: Record<string, Typed>, name = 'config.json', tensors = [EMBEDDING]) => {
  const error = await folderOf({ 'm.gguf': ggufFile(metadata, tensors) })
    .read(name)
    .then(
      () => undefined,
      (e: unknown) => e,
    );
  expect(error).toBeInstanceOf(ShishuError);
  return error as ShishuError;
};

describe('what is not read is refused by its key', () => {
  const u32 = (value: number): Typed => ({ kind: 'u32', value });
  it.each<[string, Record<string, Typed>, string, RegExp]>([
    [
      'another architecture',
      { 'general.architecture': { kind: 'string', value: 'mamba' } },
      'unsupported',
      /"mamba".*llama/,
    ],
    ['an unknown key', { 'qwen2.new_thing': u32(1) }, 'unsupported', /"qwen2\.new_thing" is not known/],
    ['a partial rotation', { 'qwen2.rope.dimension_count': u32(2) }, 'unsupported', /dimension_count" is 2/],
    [
      'a text for a number',
      { 'qwen2.block_count': { kind: 'string', value: '1' } },
      'bad-checkpoint',
      /block_count/,
    ],
    [
      'an epsilon that is no number',
      { 'qwen2.attention.layer_norm_rms_epsilon': { kind: 'f32', value: Number.NaN } },
      'bad-checkpoint',
      /epsilon" is "NaN"/,
    ],
    [
      'a base without end',
      { 'qwen2.rope.freq_base': { kind: 'f32', value: Number.POSITIVE_INFINITY } },
      'bad-checkpoint',
      /freq_base" is "Infinity"/,
    ],
    [
      'layers that differ',
      { 'qwen2.attention.head_count': { kind: 'array', of: 'u32', value: [2, 4] } },
      'unsupported',
      /head_count" differs/,
    ],
  ])('%s', async (_, changed, code, message) => {
    const error = await refusal({ ...CONFIG, ...changed });
    expect(error.message).toMatch(message);
    expect(error).toMatchObject({ code, details: { file: 'm.gguf' } });
  });

  it('a token that the model lacks is none, as converters write it', async () => {
    const metadata: Record<string, Typed> = {
      ...BPE,
      'tokenizer.ggml.bos_token_id': { kind: 'i32', value: -1 },
      'tokenizer.ggml.eos_token_id': u32(2),
      'tokenizer.ggml.padding_token_id': u32(2 ** 32 - 1),
      'tokenizer.ggml.unknown_token_id': { kind: 'i32', value: -1 },
    };
    const source = folderOf({ 'm.gguf': ggufFile(metadata, [EMBEDDING]) });
    const config = await configOf(source);
    expect(config.bos_token_id).toBeUndefined();
    expect(config.eos_token_id).toBe(2);
    const tokenizer = await readJson(source, 'tokenizer_config.json', { code: 'bad-tokenizer' });
    expect(tokenizer).toEqual({ eos_token: 'ab', add_bos_token: false, add_eos_token: false });
  });

  it('says how to choose tokens, where the file does', async () => {
    const f32 = (value: number): Typed => ({ kind: 'f32', value });
    const metadata: Record<string, Typed> = {
      ...BPE,
      'general.sampling.temp': f32(0.6),
      'general.sampling.top_k': { kind: 'i32', value: 20 },
      'general.sampling.top_p': f32(0.95),
      'general.sampling.penalty_repeat': f32(1.05),
    };
    const source = folderOf({ 'm.gguf': ggufFile(metadata, [EMBEDDING]) });
    const { sampling } = await readGeneration(source, { eosTokenIds: [1], vocabSize: 3 }, { enders: [] });
    expect(sampling).toEqual({ temperature: 0.6, topK: 20, topP: 0.95, repetitionPenalty: 1.05 });
  });

  it("YaRN's factor of attention is multiplied by the file's, as llama.cpp does", async () => {
    const metadata: Record<string, Typed> = {
      ...CONFIG,
      'qwen2.rope.scaling.type': { kind: 'string', value: 'yarn' },
      'qwen2.rope.scaling.factor': { kind: 'f32', value: 4 },
      'qwen2.rope.scaling.attn_factor': { kind: 'f32', value: 1.5 },
    };
    const { rope_scaling } = await configOf(folderOf({ 'm.gguf': ggufFile(metadata, [EMBEDDING]) }));
    expect(rope_scaling).toEqual({
      rope_type: 'yarn',
      factor: 4,
      attention_factor: 1.5 * (1 + 0.1 * Math.log(4)),
    });
  });

  it('keys of published files that say nothing of the sums are read past', async () => {
    const metadata: Record<string, Typed> = {
      ...CONFIG,
      'qwen2.pooling_type': u32(3),
      'qwen2.use_parallel_residual': { kind: 'bool', value: true },
    };
    const of = (keys: Record<string, Typed>) => configOf(folderOf({ 'm.gguf': ggufFile(keys, [EMBEDDING]) }));
    expect(await of(metadata)).toEqual(await of(CONFIG));
  });

  it('how states are pooled is what sentence-transformers would say, for those who ask', async () => {
    const filesOf = async (type: number) =>
      (
        await embeddingFilesOf(
          folderOf({ 'm.gguf': ggufFile({ ...CONFIG, 'qwen2.pooling_type': u32(type) }, [EMBEDDING]) }),
        )
      )();
    expect(await filesOf(0)).toBeUndefined();
    expect(await filesOf(1)).toMatchObject({ pooling: ['mean'], normalize: true });
    expect(await filesOf(3)).toMatchObject({ pooling: ['lasttoken'], normalize: true });
    expect((await filesOf(4))!.pooling).toEqual(['rank']);
    expect((await filesOf(9))!.pooling).toEqual(['type 9']);
  });

  it('a missing key, and factors of rotation that no known scaling makes', async () => {
    const { 'qwen2.context_length': _, ...missing } = CONFIG;
    expect((await refusal(missing)).message).toMatch(/"qwen2\.context_length" is missing/);
    const odd = new Uint8Array(Float32Array.of(1, 3).buffer);
    const factors: FileTensor = { name: 'rope_freqs.weight', shape: [2], type: 0, data: odd };
    expect((await refusal(CONFIG, 'config.json', [EMBEDDING, factors])).message).toMatch(
      /rope_freqs.*llama3/,
    );
  });

  const texts = (value: string[]): Typed => ({ kind: 'array', of: 'string', value });
  const BPE: Record<string, Typed> = {
    ...CONFIG,
    'tokenizer.ggml.model': { kind: 'string', value: 'gpt2' },
    'tokenizer.ggml.pre': { kind: 'string', value: 'qwen2' },
    'tokenizer.ggml.tokens': texts(['a', 'b', 'ab']),
    'tokenizer.ggml.merges': texts(['a b']),
  };
  it.each<[string, Record<string, Typed | undefined>, string, RegExp]>([
    ['no pre', { 'tokenizer.ggml.pre': undefined }, 'unsupported', /pre" is missing.*smollm/],
    [
      'an unknown pre',
      { 'tokenizer.ggml.pre': { kind: 'string', value: 'new' } },
      'unsupported',
      /pre" is "new"/,
    ],
    [
      'another model',
      { 'tokenizer.ggml.model': { kind: 'string', value: 't5' } },
      'unsupported',
      /model" is "t5"/,
    ],
    ['no tokens', { 'tokenizer.ggml.tokens': undefined }, 'bad-tokenizer', /tokens" is missing/],
    ['no merges', { 'tokenizer.ggml.merges': undefined }, 'bad-tokenizer', /merges" is missing/],
    ['a merge of one', { 'tokenizer.ggml.merges': texts(['ab']) }, 'bad-tokenizer', /"ab", which is no pair/],
    ['a token twice', { 'tokenizer.ggml.tokens': texts(['a', 'a']) }, 'bad-tokenizer', /"a" twice/],
    [
      'kinds of other tokens',
      { 'tokenizer.ggml.token_type': { kind: 'array', of: 'i32', value: [1] } },
      'bad-tokenizer',
      /1 numbers for 3/,
    ],
    [
      'an end past the tokens',
      { 'tokenizer.ggml.eos_token_id': u32(9) },
      'bad-tokenizer',
      /eos_token_id" is 9/,
    ],
  ])('%s', async (_, changed, code, message) => {
    const metadata = Object.fromEntries(
      Object.entries({ ...BPE, ...changed }).filter(([, value]) => value),
    ) as Record<string, Typed>;
    const error = await refusal(metadata, 'tokenizer.json');
    expect(error.message).toMatch(message);
    expect(error.code).toBe(code);
  });
});

it.each([
  ['qwen2', ['attn_q.bias', 'attn_k.bias', 'attn_v.bias'], 4],
  ['qwen3', ['attn_q_norm.weight', 'attn_k_norm.weight'], 8],
] as const)('%s: its tensors by name, rows of q in their own order', async (architecture, own, headDim) => {
  const own8 = (name: string): number => (name.includes('norm') ? headDim : 2 * headDim);
  const counted = (name: string, shape: number[]): FileTensor => {
    const values = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => i);
    return { name, shape, type: 0, data: new Uint8Array(values.buffer) };
  };
  const block = (name: string, ...shape: number[]) => counted(`blk.0.${name}`, shape);
  const tensors = [
    counted('token_embd.weight', [4, 8]),
    counted('output_norm.weight', [8]),
    counted('output.weight', [4, 8]),
    ...['attn_q', 'attn_k', 'attn_v'].map((name) => block(`${name}.weight`, 2 * headDim, 8)),
    block('attn_output.weight', 8, 2 * headDim),
    ...['attn_norm', 'ffn_norm'].map((name) => block(`${name}.weight`, 8)),
    ...['ffn_gate', 'ffn_up', 'ffn_down'].map((name) => block(`${name}.weight`, 8, 8)),
    ...own.map((name) => block(name, own8(name))),
  ];
  const metadata = Object.fromEntries(
    Object.entries({ ...CONFIG, 'qwen2.attention.key_length': { kind: 'u32', value: headDim } as const }).map(
      ([key, value]) => [key.replace('qwen2', architecture), value],
    ),
  ) as Record<string, Typed>;
  metadata['general.architecture'] = { kind: 'string', value: architecture };
  const source = folderOf({ 'm.gguf': ggufFile(metadata, tensors) });
  const [spec] = specsOf(await configOf(source));
  expect(spec).toMatchObject({ modelType: architecture, tied: false, vocabSize: 4, rmsNormEps: 1e-6 });
  const checkpoint = checkpointOf(source, await readEntries(source), tensorsOf(spec));
  expect(checkpoint.tensors.size).toBe(tensors.length);
  const rows = bytesToF32(await checkpoint.read('model.layers.0.self_attn.q_proj.weight'), 'F32');
  expect(Array.from(rows.slice(0, 20))).toEqual(Array.from({ length: 20 }, (_, i) => i));
});

it('unasked each matrix stays as it is stored, and nothing is said', async () => {
  const tensor = (name: string, type: number, ...shape: number[]): FileTensor => {
    const values = shape.reduce((a, b) => a * b);
    const size = { 0: 4 * values, 1: 2 * values, 8: (values / 32) * 34 }[type];
    return { name, shape, type, data: new Uint8Array(size!) };
  };
  const block = (name: string, type: number, ...shape: number[]) => tensor(`blk.0.${name}`, type, ...shape);
  const tensors = [
    tensor('token_embd.weight', 1, 512, 32),
    tensor('output_norm.weight', 0, 32),
    ...['q', 'k', 'v', 'output'].map((name) => block(`attn_${name}.weight`, 8, 32, 32)),
    ...['q', 'k', 'v'].map((name) => block(`attn_${name}.bias`, 0, 32)),
    ...['attn_norm', 'ffn_norm'].map((name) => block(`${name}.weight`, 0, 32)),
    ...['ffn_gate', 'ffn_up', 'ffn_down'].map((name) => block(`${name}.weight`, 8, 32, 32)),
  ];
  const size = { kind: 'u32', value: 32 } as const;
  const metadata = { ...CONFIG, 'qwen2.embedding_length': size, 'qwen2.feed_forward_length': size };
  const { sizes, note } = await readHeaders(folderOf({ 'm.gguf': ggufFile(metadata, tensors) }), {});
  expect(sizes).toMatchObject({ dtype: 'f16', asStored: true });
  expect(sizes.own?.get('model.embed_tokens.weight')).toBe('f16');
  expect(sizes.own?.get('model.layers.0.self_attn.q_proj.weight')).toBe('q8');
  expect(note).toBeUndefined();
});

it('200 damaged files give a model or a typed error', async () => {
  let refused = 0;
  for (let seed = 1; seed <= 200; seed++) {
    const random = mulberry32(seed);
    const damaged = bytes.slice();
    for (let i = 0; i < 6; i++) {
      // The first keys as likely as the long lists of tokens and merges behind them.
      const at = 24 + Math.floor(random() * (random() < 0.5 ? 900 : 12_000));
      damaged[at] =
        random() < 0.5 ? damaged[at]! ^ (1 << Math.floor(random() * 8)) : Math.floor(random() * 256);
    }
    const source = openSource(new File([damaged], 'm.gguf'));
    const load = async (): Promise<void> => {
      const specs = specsOf(await configOf(source));
      checkpointOf(source, await readEntries(source), tensorsOf(specs[0]));
      const tokenizer = await loadTokenizer(source, 320);
      tokenizer.decode(tokenizer.encode('the lighthouse <|end|> é'));
    };
    const error = await load().then(
      () => undefined,
      (e: unknown) => e,
    );
    if (error === undefined) continue;
    expect(error, `seed ${seed}: ${(error as Error).stack}`).toBeInstanceOf(ShishuError);
    expect((error as ShishuError).message.length).toBeLessThan(2000);
    refused++;
  }
  expect(refused).toBeGreaterThan(100);
});

describe('a SentencePiece vocabulary with scores', () => {
  const { model } = JSON.parse(sentencepieceFiles()['tokenizer.json']!) as {
    model: { vocab: Record<string, number>; merges: string[] };
  };
  const tokens = Object.keys(model.vocab);
  const rank = new Map(model.merges.map((merge, i) => [merge.replace(' ', ''), -i]));
  const kindOf = (token: string): number =>
    token === '<unk>' ? 2 : /^<\/?s>$/.test(token) ? 3 : token.startsWith('<0x') ? 6 : 1;
  const file = (more: Record<string, Typed> = {}): Uint8Array<ArrayBuffer> =>
    ggufFile(
      {
        ...CONFIG,
        'tokenizer.ggml.model': { kind: 'string', value: 'llama' },
        'tokenizer.ggml.tokens': { kind: 'array', of: 'string', value: tokens },
        'tokenizer.ggml.scores': {
          kind: 'array',
          of: 'f32',
          value: tokens.map((token) => rank.get(token) ?? -1000),
        },
        'tokenizer.ggml.token_type': { kind: 'array', of: 'i32', value: tokens.map(kindOf) },
        'tokenizer.ggml.bos_token_id': { kind: 'u32', value: 1 },
        'tokenizer.ggml.eos_token_id': { kind: 'u32', value: 2 },
        'tokenizer.ggml.unknown_token_id': { kind: 'u32', value: 0 },
        ...more,
      },
      [EMBEDDING],
    );
  const TEXTS = ['the  he a the.', 'é日本 th\n', ' a', 'x', '<s>the</s>'];

  it('gives the ids of the tokenizer.json with the same merges', async () => {
    const given = await loadTokenizer(folderOf({ 'm.gguf': file() }), 300);
    const utf8 = new TextEncoder();
    const files = Object.entries(sentencepieceFiles()).map(
      ([name, text]) => [name, utf8.encode(text)] as const,
    );
    const known = await loadTokenizer(folderOf(Object.fromEntries(files)), 300);
    for (const text of TEXTS) {
      expect(given.encode(text), text).toEqual(known.encode(text));
      const ids = known.encode(text);
      expect(given.decode(ids)).toBe(known.decode(ids));
    }
    expect(given.enders).toEqual([2]);
  });

  it('leaves out the first space and begin-of-text where the file says so', async () => {
    const plain: Record<string, Typed> = {
      'tokenizer.ggml.add_space_prefix': { kind: 'bool', value: false },
      'tokenizer.ggml.add_bos_token': { kind: 'bool', value: false },
    };
    const tokenizer = await loadTokenizer(folderOf({ 'm.gguf': file(plain) }), 300);
    const ids = tokenizer.encode('the a');
    expect(ids).toEqual([model.vocab.the, model.vocab['▁a']]);
    expect(tokenizer.decode(ids)).toBe('the a');
  });
});

// What embedding makes of texts, options and a model's files, without a GPU.
import { beforeAll, describe, expect, test } from 'vitest';
import { checkEmbedOptions, embedTexts, type PooledText } from '../../src/engine/embedding.ts';
import type { Runner } from '../../src/engine/runner.ts';
import type { EmbedInput, EmbedOptions } from '../../src/engine/types.ts';
import { specsOf } from '../../src/families/index.ts';
import { embeddingFilesOf } from '../../src/formats/find-embedding.ts';
import { loadTokenizer } from '../../src/formats/tokenizer.ts';
import { type EmbeddingFixture, embeddingFixture } from '../support/embedding-fixtures.ts';
import { memorySource } from '../support/memory-source.ts';

const LIMIT = 48;
const HIDDEN = 24;
const fixtures = {} as Record<'qwen3' | 'llama', EmbeddingFixture>;
beforeAll(async () => {
  for (const name of ['qwen3', 'llama'] as const) fixtures[name] = await embeddingFixture(name);
});

/** Embeds with states that are 3 and 4, then zeros; what ran, and the answer. */
async function embed(
  name: 'qwen3' | 'llama',
  input: EmbedInput,
  options: EmbedOptions = {},
  changed: EmbeddingFixture['files'] = {},
) {
  const source = memorySource({ ...fixtures[name].files, ...changed });
  const [spec] = specsOf(JSON.parse(fixtures[name].files['config.json'] as string));
  const parts = { spec, kv: { context: LIMIT }, scratch: { rows: 8 } };
  const ran: PooledText[][] = [];
  const model = {
    tokenizer: await loadTokenizer(source, spec.vocabSize),
    runner: { parts } as unknown as Runner,
    embeddingFiles: await embeddingFilesOf(source),
  };
  const answer = await embedTexts(model, input, checkEmbedOptions(options, HIDDEN), async (texts) => {
    ran.push([...texts]);
    return texts.map(() => Float32Array.of(3, 4, ...new Float32Array(HIDDEN - 2)));
  });
  return { ...answer, ran, texts: ran.flat(), encode: model.tokenizer.encode };
}

test('tokens are those of transformers, and the last one is what the tokenizer ends texts with', async () => {
  const { texts, ids } = fixtures.qwen3;
  const short = texts.flatMap((text, i) => (ids[i]!.length <= LIMIT ? [{ text, ids: ids[i]! }] : []));
  expect(short.length).toBeGreaterThan(3);
  const found = await embed(
    'qwen3',
    short.map(({ text }) => text),
  );
  expect(found.texts.map(({ tokens }) => tokens)).toEqual(short.map((each) => each.ids));
  for (const { tokens, from, scale } of found.texts) {
    expect(tokens.at(-1)).toBe(0);
    expect([from, scale]).toEqual([tokens.length - 1, 1]);
  }
});

test('one text, its ids, and lists of both', async () => {
  const [text] = fixtures.qwen3.texts as [string];
  const [ids] = fixtures.qwen3.ids as [number[]];
  for (const input of [text, ids, Uint32Array.from(ids), [text], [ids], [text, Int32Array.from(ids)]]) {
    const { texts, tokens } = await embed('qwen3', input as EmbedInput);
    for (const each of texts) expect(each.tokens).toEqual(ids);
    expect(tokens).toEqual(texts.map(() => ids.length));
  }
  expect(await embed('qwen3', [])).toMatchObject({ embeddings: [], tokens: [], ran: [] });
  // sentence-transformers has the special token alone, too.
  expect((await embed('qwen3', '')).tokens).toEqual([1]);
});

test('an instruction is a prompt of the files by its name, or a text, put before each text', async () => {
  const { encode, texts } = await embed('qwen3', 'cats', { instruction: 'query' });
  expect(texts[0]!.tokens).toEqual(encode('Instruct: Find what answers the question\nQuery:cats'));
  expect((await embed('qwen3', 'cats', { instruction: 'of: ' })).texts[0]!.tokens).toEqual(
    encode('of: cats'),
  );
  for (const instruction of ['document', ''])
    expect((await embed('qwen3', 'cats', { instruction })).texts[0]!.tokens).toEqual(encode('cats'));
  // Published models name prompts as these, too.
  for (const instruction of ['passage', 'Retrieval-query', 'retrieval.query'])
    await expect(embed('qwen3', 'cats', { instruction })).rejects.toMatchObject({
      code: 'bad-argument',
      details: { option: 'instruction' },
      message: expect.stringContaining('They name: query, document.'),
    });
  await expect(embed('qwen3', [1], { instruction: 'query' })).rejects.toMatchObject({
    details: { option: 'instruction' },
  });
});

test("the files' own prompt, whose tokens the mean leaves out where they say so", async () => {
  const { encode, texts } = await embed('llama', 'cats');
  expect(texts[0]!.tokens).toEqual(encode('A title:cats'));
  expect(texts[0]!.from).toBe(encode('A title:').length);
  const own = await embed('llama', 'cats', { instruction: '' });
  expect(own.texts[0]).toEqual({ tokens: encode('cats'), from: 0, scale: 1 / encode('cats').length });
  // Ids run as they are.
  expect((await embed('llama', [5, 6])).texts[0]).toEqual({ tokens: [5, 6], from: 0, scale: 0.5 });
});

test('length 1 after the cut, where the files or the caller say so', async () => {
  expect((await embed('qwen3', 'a')).embeddings[0]!.slice(0, 3)).toEqual(Float32Array.of(0.6, 0.8, 0));
  expect((await embed('qwen3', 'a', { dimensions: 1 })).embeddings).toEqual([Float32Array.of(1)]);
  expect((await embed('llama', 'a', { dimensions: 2 })).embeddings).toEqual([Float32Array.of(3, 4)]);
  const plain = { 'modules.json': '' };
  const without = await embed('llama', 'cats', {}, plain);
  expect(without.embeddings[0]![0]).toBeCloseTo(0.6);
  expect(without.texts[0]!.from).toBe(without.tokens[0]! - 1);
});

test('long lists run some at a time', async () => {
  const { ran, tokens } = await embed('qwen3', Array(100).fill('a'));
  // Four chunks of 8 rows, two tokens a text.
  expect(ran.map(({ length }) => length)).toEqual([16, 16, 16, 16, 16, 16, 4]);
  expect(tokens).toHaveLength(100);
});

test('a text past the context is an error that names it, or is cut where it may be, but for the token at its end', async () => {
  const long = 'word '.repeat(100);
  await expect(embed('qwen3', ['a', long])).rejects.toMatchObject({
    code: 'context-full',
    details: { text: 1, limit: LIMIT },
  });
  const { texts, encode } = await embed('qwen3', long, { truncate: true });
  const ids = encode(long);
  expect(texts[0]!.tokens).toEqual([...ids.slice(0, LIMIT - 1), ids.at(-1)]);
  expect((await embed('qwen3', ids, { truncate: true })).texts[0]!.tokens).toEqual(ids.slice(0, LIMIT));
});

describe('refused by name', () => {
  const bad = 'bad-argument';
  const refused: [EmbedInput, EmbedOptions, object][] = [
    [[[1, 2], []], {}, { code: bad, details: { text: 1, tokens: 0 } }],
    [['a', 5 as never], {}, { code: bad, details: { option: 'texts[1]' } }],
    [{} as never, {}, { code: bad, details: { option: 'texts' } }],
    [[[999]], {}, { code: bad, details: { tokenId: 999 } }],
    ['a', { dimensions: HIDDEN + 1 }, { code: bad, details: { option: 'dimensions' } }],
    ['a', { dimensions: 1.5 }, { code: bad, details: { option: 'dimensions' } }],
    ['a', { pooling: 'cls' as 'last' }, { code: bad, details: { option: 'pooling' } }],
    ['a', { normalise: true } as never, { code: bad, details: { option: 'normalise' } }],
    ['a', { instruction: 5 as never }, { code: bad, details: { option: 'instruction' } }],
  ];
  test.each(refused)('%j with %j', async (input, options, error) => {
    await expect(embed('qwen3', input, options)).rejects.toMatchObject(error);
  });

  test('a text without tokens', async () => {
    const call = embed('llama', ['a', ''], { instruction: '' });
    await expect(call).rejects.toMatchObject({ code: bad, details: { text: 1, tokens: 0 } });
  });

  test.each([
    [{ pooling_mode: 'max' }, 'max'],
    [{ pooling_mode: ['mean', 'max'] }, 'mean and max'],
    [{ pooling_mode_cls_token: true, pooling_mode_mean_tokens: false }, 'cls'],
    [{ pooling_mode_weightedmean_tokens: true }, 'weightedmean'],
  ])('a pooling of the files: %j', async (config, named) => {
    const files = { '1_Pooling/config.json': JSON.stringify(config) };
    await expect(embed('qwen3', 'a', {}, files)).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining(`pool by ${named},`),
    });
    expect((await embed('qwen3', 'a', { pooling: 'mean' }, files)).texts[0]!.from).toBe(0);
  });

  const module = 'sentence_transformers.models.Dense';
  test.each<[Record<string, string>, object]>([
    [{ 'modules.json': '{"a"' }, { code: 'bad-config', details: { file: 'modules.json' } }],
    [{ 'modules.json': '[]' }, { code: 'bad-config', details: { file: 'modules.json' } }],
    [{ 'modules.json': '[{"type":"a.Pooling","path":"../b"}]' }, { code: 'bad-config' }],
    [
      { 'modules.json': JSON.stringify([{ path: '2', type: module }]) },
      { code: 'unsupported', details: { module } },
    ],
    [{ 'config_sentence_transformers.json': '{"prompts":{"a":1}}' }, { code: 'bad-config' }],
    [{ 'config_sentence_transformers.json': '{"default_prompt_name":"a"}' }, { code: 'bad-config' }],
    [{ '1_Pooling/config.json': '' }, { code: 'bad-config' }],
  ])('files: %j', async (files, error) => {
    await expect(embed('qwen3', 'a', {}, files)).rejects.toMatchObject(error);
  });
});

// Embeddings in OpenAI's shapes; the client itself reads what a server of them would send.
import OpenAI from 'openai';
import { expect, test } from 'vitest';
import { type EmbeddingRequest, embeddings } from '../../src/api/embeddings.ts';
import { checkEmbedOptions } from '../../src/engine/embedding.ts';
import type { EmbedInput, EmbedOptions } from '../../src/engine/types.ts';
import { refuseOption } from '../../src/errors.ts';

const VALUES = [0.25, -1.5, 1 / 3, 1e-20];
const [FIRST, SECOND] = [Float32Array.from(VALUES), Float32Array.of(1, 2, 3, 4)];

function fake(adapters: readonly { name: string }[] = []) {
  const calls: { input: EmbedInput; options: EmbedOptions }[] = [];
  const model = {
    info: { adapters },
    async embed(input: EmbedInput, options: EmbedOptions = {}) {
      calls.push({ input, options: checkEmbedOptions(options, 4) });
      if (Array.isArray(input) && input.includes(null)) refuseOption('texts[1]', null, 'a text');
      return { embeddings: [FIRST, SECOND], tokens: [3, 4] };
    },
  };
  return { client: embeddings(model, { name: 'fake' }), calls };
}

test('floats, in the order of the input', async () => {
  const { client, calls } = fake();
  expect(
    await client.create({ input: ['a', 'b'], dimensions: 2, user: 'me', encoding_format: null }),
  ).toEqual({
    object: 'list',
    data: [
      { object: 'embedding', index: 0, embedding: [...FIRST!] },
      { object: 'embedding', index: 1, embedding: [1, 2, 3, 4] },
    ],
    model: 'fake',
    usage: { prompt_tokens: 7, total_tokens: 7 },
  });
  const { signal } = new AbortController();
  const own = { instruction: 'query', pooling: 'mean', normalize: false, truncate: true } as const;
  expect((await client.create({ input: [1, 2], model: 'mine', ...own }, { signal })).model).toBe('mine');
  expect(calls).toEqual([
    { input: ['a', 'b'], options: { dimensions: 2 } },
    { input: [1, 2], options: { ...own, signal } },
  ]);
});

test('a model by the name of an adapter is with it', async () => {
  const { client, calls } = fake([{ name: 'fine' }]);
  await client.create({ input: 'a', model: 'fine' });
  await client.create({ input: 'a', model: 'other' });
  await client.create({ input: 'a', model: 'other', adapter: 'fine' });
  expect(calls.map(({ options }) => options.adapter)).toEqual(['fine', undefined, 'fine']);
});

test("OpenAI's client asks for base64, and reads the numbers of it", async () => {
  const asked: EmbeddingRequest[] = [];
  const { client } = fake();
  const openai = new OpenAI({
    apiKey: 'none',
    baseURL: 'http://localhost/v1',
    async fetch(_, init) {
      const request = JSON.parse(String(init!.body)) as EmbeddingRequest;
      asked.push(request);
      return Response.json(await client.create(request));
    },
  });
  for (const input of ['a', ['a', 'b'], [1, 2], [[1], [2, 3]]])
    for (const encoding_format of [undefined, 'float'] as const) {
      const found = await openai.embeddings.create({
        model: 'm',
        input,
        ...(encoding_format && { encoding_format }),
      });
      expect(found.model).toBe('m');
      expect(found.data.map(({ embedding }) => Float32Array.from(embedding))).toEqual([FIRST, SECOND]);
    }
  expect(new Set(asked.map((each) => each.encoding_format))).toEqual(new Set(['base64', 'float']));
});

test.each<[EmbeddingRequest, string]>([
  [{} as never, 'input'],
  [{ input: '' }, 'input'],
  [{ input: [] }, 'input'],
  [{ input: ['a', null as never] }, 'input[1]'],
  [{ input: 'a', dimensions: 5 }, 'dimensions'],
  [{ input: 'a', dimensions: '2' as never }, 'dimensions'],
  [{ input: 'a', encoding_format: 'int8' as never }, 'encoding_format'],
  [{ input: 'a', model: 5 as never }, 'model'],
  [{ input: 'a', signal: null, messages: [] } as never, 'messages'],
  [{ input: 'a', pooling: 'cls' as never }, 'pooling'],
])('%j is refused by name', async (request, field) => {
  const error = await fake()
    .client.create(request)
    .catch((caught) => caught);
  expect(error).toMatchObject({ code: 'bad-argument', details: { field } });
  expect(error.message).toContain(`"${field}"`);
});

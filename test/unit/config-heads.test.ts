// Heads that attention cannot compute are refused by name when the config is read, before a weight is.

import { expect, test } from 'vitest';
import { readHeaders } from '../../src/engine/engine.ts';
import { specOf } from '../../src/families/index.ts';
import { openSource } from '../../src/formats/open-source.ts';
import { memorySource } from '../support/memory-source.ts';
import { tinyFiles, tinyModel } from '../support/tiny-models.ts';

const { configJson } = tinyModel('llama', 1);

test.each([
  [{ head_dim: 260 }, '"head_dim" 260 is above 256'],
  [{ head_dim: 512 }, '"head_dim" 512 is above 256'],
  [{ head_dim: 4096 }, '"head_dim" 4096 is above 256'],
  [{ head_dim: 66 }, '"head_dim" 66 is not a multiple of 4'],
  // Without a head size of its own: that of the hidden size.
  [{ head_dim: null, hidden_size: 1280, num_attention_heads: 4 }, '"head_dim" 320 is above 256'],
])('%j', (change, message) => {
  expect(() => specOf({ ...configJson, num_key_value_heads: 1, ...change })).toThrow(
    expect.objectContaining({ code: 'unsupported', message: expect.stringContaining(message) }),
  );
});

test('the largest head is taken', () => {
  expect(specOf({ ...configJson, head_dim: 256 }).blocks[0]!.mixer).toMatchObject({ headDim: 256 });
});

test('a load is refused before its weights are read', async () => {
  const files = {
    ...tinyFiles(tinyModel('llama', 1)),
    'config.json': JSON.stringify({ ...configJson, head_dim: 512 }),
  };
  await expect(readHeaders(openSource(memorySource(files), {}), {})).rejects.toMatchObject({
    code: 'unsupported',
  });
});

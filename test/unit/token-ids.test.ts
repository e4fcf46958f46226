// Token ids go in as encode and results give them, and as typed arrays hold them.
import { expect, expectTypeOf, it } from 'vitest';
import type { EngineModel } from '../../src/engine/model-interface.ts';
import { checkOptions } from '../../src/engine/options.ts';
import { promptIds } from '../../src/engine/prompt.ts';
import type { TokenIds } from '../../src/engine/types.ts';
import { loadTokenizer } from '../../src/formats/tokenizer.ts';
import { byteTokenizerFiles } from '../support/byte-tokenizer.ts';
import { memorySource } from '../support/memory-source.ts';

const tokenizer = await loadTokenizer(memorySource(byteTokenizerFiles()), 300);
const parts = {
  tokenizer,
  runner: { parts: { spec: { vocabSize: 300 }, kv: { context: 50 } } },
} as unknown as Parameters<typeof promptIds>[0];
const idsOf = (prompt: Parameters<typeof promptIds>[1]) => promptIds(parts, prompt, checkOptions({}, 300));

it('a prompt may be a list of ids or a typed array', () => {
  const ids = tokenizer.encode('the and');
  for (const given of [ids, Uint32Array.from(ids), Int32Array.from(ids)]) expect(idsOf(given)).toEqual(ids);
  expect(idsOf('the and')).toEqual(ids);
  expect(idsOf([{ role: 'user', content: 'x' }]).length).toBeGreaterThan(3);
  for (const empty of [[], new Uint32Array()])
    expect(() => idsOf(empty)).toThrow(expect.objectContaining({ code: 'bad-argument' }));
  for (const odd of [[1, 300], [1, undefined], [1, '2'], Int32Array.of(-1)])
    expect(() => idsOf(odd as number[])).toThrow(/^Token id/);
});

it('stopTokenIds may be one too', () => {
  expect(checkOptions({ stopTokenIds: Uint32Array.of(5, 6) }, 300).stopTokenIds).toEqual([5, 6]);
  expect(() => checkOptions({ stopTokenIds: Uint32Array.of(300) }, 300)).toThrow(/stopTokenIds/);
});

it('what encode returns fits wherever ids go in', () => {
  type Encoded = Awaited<ReturnType<EngineModel['encode']>> | Uint32Array;
  expectTypeOf<Encoded>().toExtend<TokenIds>();
  expectTypeOf<Encoded>().toExtend<Parameters<EngineModel['generate']>[0]>();
  expectTypeOf<Encoded>().toExtend<Parameters<EngineModel['generateBatch']>[0]>();
  for (const method of ['score', 'logits', 'decode'] as const)
    expectTypeOf<Encoded>().toExtend<Parameters<EngineModel[typeof method]>[0]>();
});

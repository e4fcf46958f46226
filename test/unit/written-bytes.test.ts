// The bytes that log-probabilities tell of a reply's tokens are those of its text.
import { expect, test } from 'vitest';
import { Reply } from '../../src/engine/reply.ts';
import { loadTokenizer } from '../../src/formats/tokenizer.ts';
import { writtenBytes } from '../../src/formats/written-bytes.ts';
import { byteTokenizerFiles } from '../support/byte-tokenizer.ts';
import { memorySource } from '../support/memory-source.ts';
import { sentencepieceFiles } from '../support/sentencepiece-tokenizer.ts';

test.each([
  ['byte-level', byteTokenizerFiles()],
  ['sentencepiece', sentencepieceFiles()],
])('%s tokens rebuild the text, spaces and parts of characters too', async (_, files) => {
  const tokenizer = await loadTokenizer(memorySource(files), 400);
  const ids = tokenizer.encode('the é and 日本 😀 the end\n', { addSpecialTokens: false });
  const reply = new Reply(tokenizer, {
    enders: new Set<number>(),
    stop: [],
    limit: 1000,
    continued: [],
    constraint: undefined,
  });
  const bytes: number[] = [];
  for (const id of ids) {
    const pair = { tokenId: id, logprob: -1 };
    const chunk = reply.take({ tokenId: id, logprobs: [pair, pair] });
    expect(chunk!.logprob!.top).toEqual([{ ...pair, bytes: chunk!.logprob!.bytes }]);
    bytes.push(...chunk!.logprob!.bytes!);
  }
  reply.flush();
  expect(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes))).toBe(
    reply.text,
  );
  expect(ids.length).toBeGreaterThan(10);
});

test('control tokens are as they are written', async () => {
  const tokenizer = await loadTokenizer(memorySource(sentencepieceFiles()), 400);
  const silent = Array.from({ length: tokenizer.size }, (_, id) => id).filter((id) => tokenizer.isSilent(id));
  const texts = silent.map((id) =>
    new TextDecoder().decode(Uint8Array.from(writtenBytes(tokenizer, id, false)!)),
  );
  expect(texts.length).toBeGreaterThan(0);
  expect(texts.every((text) => text.length > 0)).toBe(true);
});

// The text of a reply: stop strings, also those that are control tokens, hold them or span them.
import { describe, expect, it } from 'vitest';
import { Reply } from '../../src/engine/reply.ts';
import { loadTokenizer, type Tokenizer } from '../../src/formats/tokenizer.ts';
import { byteTokenizerFiles } from '../support/byte-tokenizer.ts';
import { memorySource } from '../support/memory-source.ts';

const tokenizer: Tokenizer = await loadTokenizer(memorySource(byteTokenizerFiles()), 300);
const idOf = (token: string): number => tokenizer.encode(token, { addSpecialTokens: false })[0]!;
const END = idOf('<|im_end|>');
const TEXT_END = idOf('<|endoftext|>');

/** What becomes of a model's tokens. */
function replyTo(tokens: readonly number[], stop: string[], enders: number[] = []) {
  const reply = new Reply(tokenizer, {
    enders: new Set(enders),
    stop,
    limit: tokens.length,
    continued: [],
    constraint: undefined,
  });
  const chunks: string[] = [];
  for (const token of tokens) {
    if (reply.finishReason) break;
    const chunk = reply.take({ tokenId: token, logprobs: undefined });
    if (chunk) chunks.push(chunk.text);
  }
  const rest = reply.flush();
  if (rest) chunks.push(rest.text);
  const { text, finishReason, tokenIds } = reply;
  expect(chunks.join('')).toBe(text);
  return { text, finishReason, count: tokenIds.length };
}

const ids = (text: string): number[] => tokenizer.encode(text, { addSpecialTokens: false });

describe('stop strings', () => {
  it('may be a control token', () => {
    const tokens = ids('Hello<|im_end|>\nand on');
    expect(replyTo(tokens, ['<|im_end|>'])).toEqual({ text: 'Hello', finishReason: 'stop', count: 5 });
    expect(replyTo(tokens, ['<|endoftext|>', '<|im_end|>']).text).toBe('Hello');
    expect(replyTo(tokens, [])).toMatchObject({ text: 'Hello\nand on', finishReason: 'length' });
  });

  it('may hold control tokens, and span them and the text around', () => {
    const tokens = ids('Hello<|im_end|>\n<|im_start|>user and on');
    for (const stop of [
      '<|im_end|>\n<|im_start|>',
      '<|im_end|>\n<|im_start|>user',
      '<|im_start|>user',
      'o<|im_end|>\n',
      '|im_end|',
    ]) {
      const { text, finishReason } = replyTo(tokens, [stop]);
      expect([stop, finishReason]).toEqual([stop, 'stop']);
      // What stands before the stop string, without control tokens.
      const before = tokenizer.decode(tokens, { skipSpecialTokens: false }).split(stop)[0]!;
      expect(text).toBe(before.replace(/<\|im_end\|>|<\|?$/g, ''));
    }
  });

  it('never show a control token that began one in vain', () => {
    const tokens = ids('a<|im_end|>b<|im_end|>');
    expect(replyTo(tokens, ['<|im_end|>c'])).toMatchObject({ text: 'ab', finishReason: 'length' });
    expect(replyTo(tokens, ['b<|im_end|>c'])).toMatchObject({ text: 'ab', finishReason: 'length' });
  });

  it('are also found where the model spells a control token out', () => {
    const spelt = [...'x<|im_end|>y'].flatMap((character) => ids(character));
    expect(replyTo(spelt, ['<|im_end|>'])).toMatchObject({ text: 'x', finishReason: 'stop' });
  });

  it('may be completed by the token that ends the reply', () => {
    expect(replyTo(ids('ok Bye<|im_end|>'), ['Bye<|im_end|>'], [END])).toMatchObject({
      text: 'ok ',
      finishReason: 'stop',
    });
    expect(replyTo(ids('ok By<|im_end|>'), ['Bye<|im_end|>'], [END]).text).toBe('ok By');
    expect(replyTo(ids('ok By<|endoftext|>'), ['Bye'], [TEXT_END]).text).toBe('ok By');
  });
});

// A percent sign that begins no escape, wherever an address or a part of one is taken apart.

import { describe, expect, test } from 'vitest';
import { decodeUri } from '../../src/decode-uri.ts';
import { openSource } from '../../src/formats/open-source.ts';

const refusal = (text: string) =>
  expect.objectContaining({ code: 'bad-argument', message: expect.stringContaining(text) });

test.each(['100%', '%', '%zz', '%e', 'a%ff', '%C3%28'])('%j has no text behind its escapes', (text) => {
  expect(decodeUri(text)).toBeUndefined();
});

describe('an address', () => {
  test.each([
    'https://models.example/100%/',
    'https://models.example/%zz/model',
    'https://models.example/%4',
  ])('%s is refused with the mend', (address) => {
    expect(() => openSource(address)).toThrowError(refusal('has a "%" that begins no escape. Write %25'));
  });

  test.each([
    'https://models.example/100%25/',
    'https://models.example/%FF/',
    'https://models.example/m/?sign=1%',
  ])('%s is one', (address) => {
    expect(openSource(address).name).toContain('models.example');
  });
});

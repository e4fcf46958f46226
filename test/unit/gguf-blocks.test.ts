// The values of quantised blocks, against those of the Python package gguf (scripts/make-gguf-fixtures.py), bit for bit.
import { expect, it } from 'vitest';
import { type BlockType, TYPES } from '../../src/formats/gguf/types.ts';
import { widen } from '../../src/formats/gguf/widen.ts';
import fixture from '../fixtures/gguf-blocks.json' with { type: 'json' };

const bytesOf = (base64: string): Uint8Array => new Uint8Array(Buffer.from(base64, 'base64'));

it('every type of blocks has a fixture', () => {
  const plain = ['F32', 'F16', 'BF16'];
  expect(Object.keys(fixture.types).sort()).toEqual(
    Object.keys(TYPES)
      .filter((type) => !plain.includes(type))
      .sort(),
  );
});

it.each(Object.entries(fixture.types))('%s', (type, { blocks, values }) => {
  const found = widen(bytesOf(blocks), type as BlockType);
  const expected = bytesOf(values);
  expect(found.byteLength).toBe(expected.length);
  const bits = (bytes: Uint8Array): Uint32Array =>
    new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  expect(bits(new Uint8Array(found.buffer))).toEqual(bits(expected));
});

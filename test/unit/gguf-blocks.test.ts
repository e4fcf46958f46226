// The values of quantised blocks, against those of the Python package gguf (scripts/make-gguf-fixtures.py), bit for bit.
import { expect, it } from 'vitest';
import { f32ToF16 } from '../../src/formats/float.ts';
import { type BlockType, TYPES } from '../../src/formats/gguf/types.ts';
import { widen } from '../../src/formats/gguf/widen.ts';
import { rowBytes } from '../../src/kernels/tensor.ts';
import { dtypeOfBlocks, packBlocks } from '../../src/model/pack.ts';
import { FORMATS } from '../../src/quant/index.ts';
import fixture from '../fixtures/gguf-blocks.json' with { type: 'json' };
import { unbase64, unpacked } from '../support/fixture-bytes.ts';

it('every type of blocks has a fixture', () => {
  const plain = ['F32', 'F16', 'BF16'];
  expect(Object.keys(fixture.types).sort()).toEqual(
    Object.keys(TYPES)
      .filter((type) => !plain.includes(type))
      .sort(),
  );
});

it.each(Object.entries(fixture.types))('%s', (type, { blocks, values }) => {
  const found = widen(unbase64(blocks), type as BlockType);
  const expected = unbase64(values);
  expect(found.byteLength).toBe(expected.length);
  const bits = (bytes: Uint8Array): Uint32Array =>
    new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  expect(bits(new Uint8Array(found.buffer))).toEqual(bits(expected));
});

const KEPT = ['Q8_0', 'Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q4_K', 'Q5_K', 'Q6_K'] as const;

// Rows of one block and of two, from any place in memory.
it.each(KEPT.flatMap((type) => [1, 2].map((perRow) => [type, perRow] as const)))(
  '%s stays in its blocks, %i a row: the values that kernels read are those of the package, bit for bit',
  (type, perRow) => {
    const { blocks, values } = fixture.types[type];
    const stored = unbase64(blocks);
    const expected = unpacked(values);
    const cols = TYPES[type].values * perRow;
    const dtype = dtypeOfBlocks(type)!;
    const odd = new Uint8Array(stored.length + 1);
    odd.set(stored, 1);
    const { codes, scales } = packBlocks(type, odd.subarray(1), cols, 'test');
    const size = rowBytes(dtype, cols);
    const rows = expected.length / cols;
    expect([codes.byteLength, scales.byteLength]).toEqual([rows * size.codes, rows * size.scales]);
    for (let row = 0; row < rows; row++) {
      const part = (of: ArrayBufferView<ArrayBuffer>, bytes: number): ArrayBuffer =>
        of.buffer.slice(row * bytes, (row + 1) * bytes);
      const found = FORMATS[dtype].decode(part(codes, size.codes), part(scales, size.scales), cols);
      // Zeros have no sign.
      const plain = (of: Float32Array): Float32Array => of.map((value) => value + 0);
      expect(plain(found)).toEqual(plain(expected.subarray(row * cols, (row + 1) * cols)));
    }
  },
);

it('a scale that is no finite number is refused by its tensor', () => {
  const blocks = unbase64(fixture.types.Q6_K.blocks).slice();
  blocks.set([0, 0x7c], 208);
  expect(() => packBlocks('Q6_K', blocks, 256, 'some.weight')).toThrow(
    expect.objectContaining({
      code: 'bad-checkpoint',
      message: expect.stringMatching(/some\.weight.*Infinity/),
      // No dtype makes numbers of it.
      mend: expect.stringContaining('damaged'),
    }),
  );
});

it.each([
  ['Q4_0', 8],
  ['Q5_0', 16],
] as const)(
  '%s: a scale whose minimum, -%i times it, is past f16 is refused, and the one below it is kept',
  (type, codes) => {
    const { bytes, values } = TYPES[type];
    const blocks = new Uint8Array(2 * bytes);
    const packed = (scale: number) => {
      for (const at of [0, bytes]) new DataView(blocks.buffer).setUint16(at, f32ToF16(scale), true);
      return packBlocks(type, blocks, 2 * values, 'some.weight');
    };
    for (const sign of [1, -1]) {
      expect(() => packed((sign * 65536) / codes)).toThrow(/some\.weight.*blocks cannot hold/);
      const { codes: kept, scales } = packed((sign * 65504) / codes);
      const found = FORMATS[dtypeOfBlocks(type)!].decode(kept.buffer, scales.buffer, values);
      expect([...found]).toEqual(Array(values).fill(-sign * 65504));
    }
  },
);

// Headers of GGUF files: every type of value, reads in growing ranges, split files, and what is wrong with a file by name.
import { describe, expect, it } from 'vitest';
import { ShishuError } from '../../src/errors.ts';
import { readGguf } from '../../src/formats/gguf/header.ts';
import type { Source } from '../../src/formats/source.ts';
import { type FileTensor, ggufFile, type Typed } from '../support/gguf-file.ts';
import { memorySource } from '../support/memory-source.ts';
import { mulberry32 } from '../support/random.ts';

const METADATA: Record<string, Typed> = {
  'general.architecture': { kind: 'string', value: 'llama' },
  a: { kind: 'u8', value: 200 },
  b: { kind: 'i8', value: -7 },
  c: { kind: 'u16', value: 65535 },
  d: { kind: 'i16', value: -300 },
  e: { kind: 'u32', value: 2 ** 32 - 1 },
  f: { kind: 'i32', value: -5 },
  g: { kind: 'f32', value: 0.5 },
  h: { kind: 'bool', value: true },
  i: { kind: 'u64', value: 2 ** 53 - 1 },
  j: { kind: 'i64', value: -3 },
  k: { kind: 'u64', value: 2n ** 63n },
  l: { kind: 'f64', value: 1e300 },
  m: { kind: 'array', of: 'string', value: ['Ġa', '', '日本'] },
  n: { kind: 'array', of: 'f32', value: [0.25, -1] },
  o: { kind: 'array', of: 'bool', value: [true, false] },
  p: {
    kind: 'array',
    of: 'array',
    value: [
      { of: 'u8', value: [1, 2] },
      { of: 'string', value: ['x'] },
    ],
  },
};
const tensor = (name: string, shape: number[], type: number, bytes: number): FileTensor => ({
  name,
  shape,
  type,
  data: new Uint8Array(bytes).fill(7),
});
const TENSORS = [
  tensor('one', [2, 3], 0, 24),
  tensor('two', [3, 64], 2, 3 * 2 * 18),
  tensor('three', [1, 2, 256], 14, 2 * 210),
];

const read = (bytes: Uint8Array, name = 'm.gguf') => readGguf(memorySource({ [name]: bytes }), name);
const refusal = async (bytes: Uint8Array): Promise<ShishuError> => {
  const error = await read(bytes).then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(ShishuError);
  return error as ShishuError;
};

describe('what a header says', () => {
  it.each([2, 3])('version %i: values of every type, and tensors', async (version) => {
    const file = ggufFile(METADATA, TENSORS, { version });
    const { metadata, tensors } = await read(file);
    expect(Object.fromEntries(metadata)).toEqual({
      'general.architecture': 'llama',
      a: 200,
      b: -7,
      c: 65535,
      d: -300,
      e: 2 ** 32 - 1,
      f: -5,
      g: 0.5,
      h: true,
      i: 2 ** 53 - 1,
      j: -3,
      k: 2n ** 63n,
      l: 1e300,
      m: ['Ġa', '', '日本'],
      n: Float32Array.of(0.25, -1),
      o: [true, false],
      p: [Uint8Array.of(1, 2), ['x']],
    });
    expect([...tensors].map(([name, { type, shape }]) => [name, type, shape])).toEqual([
      ['one', 'F32', [2, 3]],
      ['two', 'Q4_0', [3, 64]],
      ['three', 'Q6_K', [1, 2, 256]],
    ]);
    const { start, end } = tensors.get('three')!;
    expect(end).toBe(file.length);
    expect(file.subarray(start, end)).toEqual(TENSORS[2]!.data);
  });

  it('the alignment is the file’s own', async () => {
    const metadata: Record<string, Typed> = { 'general.alignment': { kind: 'u32', value: 8 } };
    const file = ggufFile(metadata, TENSORS, { alignment: 8 });
    expect((await read(file)).tensors.get('three')!.end).toBe(file.length);
  });

  it('reads no more than about twice the header, in a few ranges', async () => {
    const words = Array.from({ length: 300_000 }, (_, i) => `token${i}`);
    const header = ggufFile({ tokens: { kind: 'array', of: 'string', value: words } }, TENSORS);
    const ranges: [number, number][] = [];
    const size = header.length + 2 ** 30;
    const source = memorySource({ m: header });
    const huge: Source = {
      ...source,
      size: async () => size,
      readHead: async () => ({ bytes: new Uint8Array(0), size }),
      async read(_, start = 0, end = size) {
        ranges.push([start, end]);
        const bytes = new Uint8Array(end - start);
        bytes.set(header.subarray(start, end));
        return bytes;
      },
    };
    const { metadata } = await readGguf(huge, 'm');
    expect(metadata.get('tokens')).toEqual(words);
    expect(ranges.length).toBeLessThan(6);
    expect(ranges.at(-1)![1]).toBeLessThan(2 * header.length + 2 ** 21);
  });
});

describe('split files', () => {
  const part = (no: number, tensors: FileTensor[], count = 2): Uint8Array =>
    ggufFile(
      {
        'split.no': { kind: 'u16', value: no },
        'split.count': { kind: 'u16', value: count },
        'split.tensors.count': { kind: 'i32', value: 3 },
      },
      tensors,
    );
  const files = {
    'm-00001-of-00002.gguf': part(0, TENSORS.slice(0, 1)),
    'm-00002-of-00002.gguf': part(1, TENSORS.slice(1)),
  };

  it.each(Object.keys(files))('are read by the name of any: %s', async (name) => {
    const { tensors } = await readGguf(memorySource(files), name);
    expect([...tensors].map(([tensor, { file }]) => `${tensor} ${file}`)).toEqual([
      'one m-00001-of-00002.gguf',
      'two m-00002-of-00002.gguf',
      'three m-00002-of-00002.gguf',
    ]);
  });

  it.each([
    ['a part is missing', { 'm-00002-of-00002.gguf': undefined }, /m-00002-of-00002\.gguf is not in/],
    ['a part is another', { 'm-00002-of-00002.gguf': part(0, TENSORS.slice(1)) }, /it is not part 2 of 2/],
    [
      'a tensor is in two',
      { 'm-00002-of-00002.gguf': part(1, TENSORS) },
      /tensor "one" is in an earlier file/,
    ],
    ['a tensor is in none', { 'm-00002-of-00002.gguf': part(1, TENSORS.slice(1, 2)) }, /hold 2 tensors/],
    ['the name says another count', { 'm-00001-of-00002.gguf': part(0, [], 3) }, /one of 3 files/],
  ])('%s', async (_, changed, message) => {
    const all = Object.entries({ ...files, ...changed }).filter(([, bytes]) => bytes);
    const source = memorySource(Object.fromEntries(all) as Record<string, Uint8Array>);
    await expect(readGguf(source, 'm-00001-of-00002.gguf')).rejects.toThrow(message);
  });
});

describe('what is wrong with a file', () => {
  const good = ggufFile(METADATA, TENSORS);
  const patched = (at: number, ...bytes: number[]): Uint8Array => {
    const copy = good.slice();
    copy.set(bytes, at);
    return copy;
  };
  const huge = [0, 0, 0, 0, 0, 0, 0, 0x80];
  const html = new TextEncoder().encode(`<!doctype html>${' '.repeat(100)}`);
  it.each<[string, Uint8Array, string, RegExp]>([
    ['version 1', ggufFile({}, [], { version: 1 }), 'unsupported', /version 1.*versions 2 and 3/],
    ['version 4', ggufFile({}, [], { version: 4 }), 'unsupported', /version 4/],
    ['big-endian', patched(4, 0, 0, 0, 3), 'unsupported', /big-endian/],
    ['another kind of file', html, 'bad-checkpoint', /m\.gguf is an HTML page/],
    ['2^63 tensors', patched(8, ...huge), 'bad-checkpoint', /number of tensors is 9223372036854775808/],
    ['2^63 keys', patched(16, ...huge), 'bad-checkpoint', /number of keys is 9223372036854775808/],
    ['a key of 2^63 bytes', patched(24, ...huge), 'bad-checkpoint', /length of key 0 is 9223372036854775808/],
    [
      'an unknown type of value',
      patched(52, 77),
      'bad-checkpoint',
      /general\.architecture" has the value type 77/,
    ],
    [
      'a string of 2^63 bytes',
      patched(56, ...huge),
      'bad-checkpoint',
      /length of key "general\.architecture"/,
    ],
    ['nothing', new Uint8Array(0), 'bad-checkpoint', /the first word takes 4 bytes/],
    ['only half of it', good.slice(0, good.length / 2), 'bad-checkpoint', /m\.gguf: /],
    ['a cut end', good.slice(0, -1), 'bad-checkpoint', /tensor "three" ends at byte/],
    [
      'an offset past the end',
      ggufFile({}, [{ ...TENSORS[0]!, offset: 2 ** 40 }]),
      'bad-checkpoint',
      /tensor "one" ends at byte 1099511627/,
    ],
    [
      'an offset that is not aligned',
      ggufFile({}, [{ ...TENSORS[0]!, offset: 4 }]),
      'bad-checkpoint',
      /tensor "one" begins at byte 4 .* multiple of 32/,
    ],
    [
      'an overlap',
      ggufFile({}, [TENSORS[1]!, { ...TENSORS[2]!, offset: 64 }]),
      'bad-checkpoint',
      /tensor "three" begins at byte 64 of the data, where "two" ends at 108/,
    ],
    ['a tensor twice', ggufFile({}, [TENSORS[0]!, TENSORS[0]!]), 'bad-checkpoint', /"one" is there twice/],
    [
      'an unknown type',
      ggufFile({}, [tensor('x', [2], 99, 8)]),
      'unsupported',
      /"x" is of the unknown type 99/,
    ],
    ['a type that is not read', ggufFile({}, [tensor('x', [256], 16, 66)]), 'unsupported', /"x" is IQ2_XXS/],
    [
      'a row of no whole blocks',
      ggufFile({}, [tensor('x', [33], 2, 18)]),
      'bad-checkpoint',
      /rows of 33 values/,
    ],
    ['an empty tensor', ggufFile({}, [tensor('x', [2, 0], 0, 0)]), 'bad-checkpoint', /shape \[0,2\]/],
    ['five dimensions', ggufFile({}, [tensor('x', [1, 1, 1, 1, 1], 0, 4)]), 'bad-checkpoint', /5 dimensions/],
    ['a shape past 2^53', ggufFile({}, [tensor('x', [2 ** 40, 2 ** 40], 0, 4)]), 'bad-checkpoint', /shape/],
    [
      'an alignment of 0',
      ggufFile({ 'general.alignment': { kind: 'u32', value: 0 } }, []),
      'bad-checkpoint',
      /alignment" is 0/,
    ],
    [
      'arrays without end',
      ggufFile(
        {
          x: {
            kind: 'array',
            of: 'array',
            value: [{ of: 'array', value: [{ of: 'array', value: [{ of: 'array', value: [] }] }] }],
          },
        },
        [],
      ),
      'bad-checkpoint',
      /arrays of arrays more than 3 deep/,
    ],
  ])('%s', async (_, bytes, code, message) => {
    const error = await refusal(bytes);
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
    expect(error.details.file).toBe('m.gguf');
  });

  it('200 damaged files give a header or a typed error, and never a read past the file', async () => {
    let refused = 0;
    for (let seed = 1; seed <= 200; seed++) {
      const random = mulberry32(seed);
      const bytes = good.slice(0, random() < 0.2 ? Math.floor(random() * good.length) : undefined);
      const header = good.length - 24 - 128 - 420 - 64;
      for (let i = 0; i < 4 && bytes.length > 0; i++) {
        const at = Math.floor(random() * Math.min(bytes.length, header));
        const length = random() < 0.3 ? 8 : 1;
        for (let j = 0; j < length && at + j < bytes.length; j++)
          bytes[at + j] = random() < 0.3 ? 255 : Math.floor(random() * 256);
      }
      const error = await read(bytes).then(
        () => undefined,
        (e: unknown) => e,
      );
      if (error === undefined) continue;
      expect(error, `seed ${seed}: ${(error as Error).stack}`).toBeInstanceOf(ShishuError);
      expect((error as ShishuError).message.length).toBeLessThan(1000);
      expect((error as ShishuError).code).toMatch(/^(bad-checkpoint|unsupported)$/);
      refused++;
    }
    expect(refused).toBeGreaterThan(120);
  });
});

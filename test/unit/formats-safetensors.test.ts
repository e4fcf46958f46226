import { describe, expect, it } from 'vitest';
import { openCheckpoint, type WantedTensor } from '../../src/formats/checkpoint.ts';
import { bytesToF32 } from '../../src/formats/float.ts';
import { openSource } from '../../src/formats/open-source.ts';
import {
  encodeHeader,
  encodeSafetensors,
  type NamedTensor,
  readHeader,
} from '../../src/formats/safetensors.ts';
import { memorySource } from '../support/memory-source.ts';

const FILE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';
const f32 = (name: string, ...shape: number[]): NamedTensor => {
  const count = shape.reduce((a, b) => a * b, 1);
  return { name, dtype: 'F32', shape, data: Float32Array.from({ length: count }, (_, i) => i + name.length) };
};

/** A file with this header text, whatever it says. */
function fileOf(header: string | object, dataBytes: number, claimed?: bigint): Uint8Array {
  const text = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const file = new Uint8Array(8 + text.length + dataBytes);
  new DataView(file.buffer).setBigUint64(0, claimed ?? BigInt(text.length), true);
  file.set(text, 8);
  return file;
}
const headerOf = (file: Uint8Array) => readHeader(memorySource({ [FILE]: file }), FILE);

describe('readHeader', () => {
  const entry = (dtype: unknown, shape: unknown, ...offsets: unknown[]) => ({
    dtype,
    shape,
    data_offsets: offsets,
  });

  it('reads what encodeSafetensors writes', async () => {
    const file = encodeSafetensors([f32('b', 2, 3), f32('a', 0, 7), f32('é"', 1)], { z: '1', a: 'x' });
    const header = await headerOf(file);
    expect(header.metadata).toEqual({ a: 'x', z: '1' });
    expect(header.dataStart % 8).toBe(0);
    const { start, end, ...rest } = header.tensors.get('b')!;
    expect(rest).toEqual({ file: FILE, dtype: 'F32', shape: [2, 3] });
    expect(bytesToF32(file.slice(start, end), 'F32')).toEqual(Float32Array.of(1, 2, 3, 4, 5, 6));
    expect([...header.tensors.keys()]).toEqual(['a', 'b', 'é"']);
  });

  it.each([0, 80_000])('reads headers over HTTP, with %i bytes of metadata', async (length) => {
    const file = encodeSafetensors([f32('b', 2, 3)], { a: 'x'.repeat(length) });
    let requests = 0;
    const fetch = async (_: unknown, init?: RequestInit): Promise<Response> => {
      requests++;
      const [, from, to] = /=(\d+)-(\d+)$/.exec(new Headers(init?.headers).get('Range')!)!;
      const bytes = file.slice(Number(from), Number(to) + 1);
      const range = `bytes ${from}-${Number(from) + bytes.length - 1}/${file.length}`;
      return new Response(bytes, { status: 206, headers: { 'Content-Range': range } });
    };
    const { metadata, tensors } = await readHeader(openSource('http://localhost/m/', { fetch }), FILE);
    expect(metadata.a).toHaveLength(length);
    expect([...tensors.keys()]).toEqual(['b']);
    expect(requests).toBe(length > 0 ? 2 : 1);
  });

  it('takes dtypes it cannot run, of any width', async () => {
    const header = {
      a: entry('F4', [3, 2], 0, 3),
      b: entry('I64', [], 3, 11),
      c: entry('BOOL', [0], 11, 11),
    };
    expect((await headerOf(fileOf(`${JSON.stringify(header)}  `, 11))).tensors.size).toBe(3);
  });

  const a = entry('F32', [2], 0, 8);
  const bad: [string, Uint8Array, RegExp][] = [
    ['an empty file', new Uint8Array(0), /0 bytes are too few/],
    ['a header longer than the file', fileOf({ a }, 8, 5000n), /claims 5000 bytes, the file has/],
    ['a header over the limit', fileOf({ a }, 8, 2n ** 63n), /the limit is 100000000/],
    ['no JSON', fileOf('{"a":', 0), /not JSON/],
    ['no object', fileOf('[1]', 0), /does not begin with/],
    ['space before the object', fileOf(' {}', 0), /does not begin with/],
    ['text that is not UTF-8', fileOf({ a }, 8).map((b, i) => (i === 10 ? 0xff : b)), /not UTF-8/],
    [
      'a name twice',
      fileOf(`{"a":${JSON.stringify(a)},"\\u0061":${JSON.stringify(a)}}`, 8),
      /"a" is there twice/,
    ],
    [
      'a field twice',
      fileOf('{"a":{"dtype":"F32","dtype":"F16","shape":[2],"data_offsets":[0,8]}}', 8),
      /"dtype" is there/,
    ],
    ['an entry that is no object', fileOf({ a: 3 }, 8), /"a": expected an object/],
    ['an unknown dtype', fileOf({ a: entry('F12', [2], 0, 8) }, 8), /unknown dtype "F12"/],
    [
      'a dtype of Object.prototype',
      fileOf({ a: entry('toString', [2], 0, 8) }, 8),
      /unknown dtype "toString"/,
    ],
    ['a negative size', fileOf({ a: entry('F32', [-2], 0, 8) }, 8), /"shape" is not/],
    ['a broken size', fileOf({ a: entry('F32', [0.5], 0, 8) }, 8), /"shape" is not/],
    ['a huge shape', fileOf({ a: entry('F32', [2 ** 50, 2 ** 50], 0, 8) }, 8), /no whole number of bytes/],
    ['half a byte', fileOf({ a: entry('F4', [3], 0, 2) }, 2), /no whole number of bytes/],
    [
      'a wrong byte count',
      fileOf({ a: entry('F32', [3], 0, 8) }, 8),
      /takes 12 bytes, "data_offsets" hold 8/,
    ],
    ['one offset', fileOf({ a: entry('F32', [2], 0) }, 8), /"data_offsets" is not a pair/],
    ['offsets that run backwards', fileOf({ a: entry('F32', [2], 8, 0) }, 8), /run backwards/],
    ['an overlap', fileOf({ a, b: entry('F32', [2], 4, 12) }, 12), /"b" overlaps .* byte 4 .* expected 8/],
    ['a hole', fileOf({ a, b: entry('F32', [1], 12, 16) }, 16), /"b" leaves a hole/],
    ['data beyond the file', fileOf({ a }, 4), /describes \d+ bytes, the file has/],
    ['data that no tensor covers', fileOf({ a }, 9), /describes \d+ bytes, the file has/],
    ['metadata that is no text', fileOf({ __metadata__: { n: 1 }, a }, 8), /"__metadata__"/],
  ];
  it.each(bad)('refuses %s', async (_, file, message) => {
    const error = await headerOf(file).catch((e) => e);
    expect(error).toMatchObject({ code: 'bad-checkpoint', details: { file: FILE } });
    expect(error.message).toMatch(message);
  });

  it('copes with a header of long texts full of escapes', async () => {
    const metadata = { long: '\n"\\'.repeat(2_000_000) };
    expect((await headerOf(fileOf({ __metadata__: metadata, a }, 8))).metadata).toEqual(metadata);
  });
});

describe('encodeSafetensors', () => {
  it('writes the same bytes for any order of tensors, wide elements first', () => {
    const half: NamedTensor = { name: 'a', dtype: 'F16', shape: [3], data: Uint16Array.of(1, 2, 3) };
    const file = encodeSafetensors([half, f32('c', 1), f32('b', 1)], { y: '1', x: '2' });
    expect(encodeSafetensors([f32('b', 1), f32('c', 1), half], { x: '2', y: '1' })).toEqual(file);
    expect(encodeHeader([half, f32('c', 1), f32('b', 1)]).order).toEqual(['b', 'c', 'a']);
  });

  it('rounds f32 values to 16 bits and keeps bits that are given', async () => {
    const data = Float32Array.of(1, 1.0009765625 + 2 ** -12, 65504);
    const file = encodeSafetensors([
      { name: 'f16', dtype: 'F16', shape: [3], data },
      { name: 'bf16', dtype: 'BF16', shape: [3], data },
      { name: 'bytes', dtype: 'BF16', shape: [1], data: Uint8Array.of(0x80, 0x3f) },
    ]);
    const { tensors } = await headerOf(file);
    const values = (name: string) => {
      const { start, end, dtype } = tensors.get(name)!;
      return [...bytesToF32(file.slice(start, end), dtype as 'F16')];
    };
    expect(values('f16')).toEqual([1, 1.0009765625, 65504]);
    expect(values('bf16')).toEqual([1, 1, 65536]);
    expect(values('bytes')).toEqual([1]);
  });

  it('refuses data that does not fit the shape, and names that are taken', () => {
    expect(() => encodeSafetensors([{ ...f32('a', 2), shape: [3] }])).toThrow(
      /takes 12 bytes, its data has 8/,
    );
    expect(() => encodeSafetensors([f32('a', 1), f32('a', 1)])).toThrow(/"a" is taken/);
    expect(() => encodeSafetensors([f32('__metadata__', 1)])).toThrow(/is taken/);
  });
});

describe('openCheckpoint', () => {
  const q = 'model.layers.0.self_attn.q_proj.weight';
  const gate = 'model.layers.1.mlp.gate_proj.weight';
  const copy = 'model.layers.2.mlp.gate_proj.weight';
  const wanted: WantedTensor[] = [
    { name: q, shape: [2, 4] },
    { name: gate, shape: [3, 4] },
    { name: copy, shape: [3, 4], copyOf: gate },
  ];
  const all = [f32(q, 2, 4), f32(gate, 3, 4)];
  const open = (tensors: NamedTensor[], specs = wanted) =>
    openCheckpoint(memorySource({ [FILE]: encodeSafetensors(tensors) }), specs);

  const shards = (map: Record<string, unknown>, files: Record<string, NamedTensor[]>) =>
    openCheckpoint(
      memorySource({
        [INDEX]: JSON.stringify({ metadata: { total_size: 1 }, weight_map: map }),
        ...Object.fromEntries(Object.entries(files).map(([name, list]) => [name, encodeSafetensors(list)])),
      }),
      wanted,
    );

  it('reads tensors, whole and by range of bytes', async () => {
    const checkpoint = await open(all);
    expect([...checkpoint.tensors.keys()]).toEqual([q, gate]);
    expect(checkpoint.bytes).toBe((8 + 12) * 4);
    expect(bytesToF32(await checkpoint.read(gate), 'F32')).toEqual(all[1]!.data);
    expect(bytesToF32(await checkpoint.read(gate, 8, 16), 'F32')).toEqual(all[1]!.data.slice(2, 4));
    for (const range of [
      [0, 49],
      [9, 8],
      [-1, 8],
    ])
      await expect(checkpoint.read(gate, ...range)).rejects.toMatchObject({ code: 'bad-argument' });
    await expect(checkpoint.read('none')).rejects.toMatchObject({ code: 'bad-argument' });
  });

  it('takes a stored copy, and ignores what older exports leave', async () => {
    const extra = [f32(copy, 3, 4), f32('model.layers.1.self_attn.rotary_emb.inv_freq', 2)];
    expect([...(await open([...all, ...extra])).tensors.keys()]).toEqual([q, gate, copy]);
  });

  it('takes the copy where it alone is stored', async () => {
    const checkpoint = await open([all[0]!, f32(copy, 3, 4)]);
    expect([...checkpoint.tensors.keys()]).toEqual([q, gate]);
    expect(bytesToF32(await checkpoint.read(gate), 'F32')).toEqual(f32(copy, 3, 4).data);
    await expect(open([all[0]!, f32(copy, 4, 3)])).rejects.toThrow(/2\.mlp.* has shape \[4,3\]/);
  });

  it('reads shards', async () => {
    const files = { 'one.safetensors': [all[0]!], 'sub/two.safetensors': [all[1]!] };
    const checkpoint = await shards({ [q]: 'one.safetensors', [gate]: 'sub/two.safetensors' }, files);
    expect(checkpoint.tensors.get(gate)?.file).toBe('sub/two.safetensors');
    expect(bytesToF32(await checkpoint.read(q), 'F32')).toEqual(all[0]!.data);
  });

  const one = 'one.safetensors';
  const two = 'two.safetensors';
  const badShards: [string, Record<string, unknown>, Record<string, NamedTensor[]>, object, RegExp][] = [
    [
      'a missing shard',
      { [q]: one, [gate]: two },
      { [one]: [all[0]!] },
      { code: 'not-found' },
      /two\.safetensors, named by/,
    ],
    [
      'a tensor that is not in its shard',
      { [q]: one, [gate]: one },
      { [one]: [all[0]!] },
      { code: 'bad-checkpoint' },
      /one\.safetensors holds no ".*gate/,
    ],
    [
      'a tensor that the index lacks',
      { [q]: one },
      { [one]: all },
      { code: 'bad-checkpoint' },
      /gate_proj.weight", which the index lacks/,
    ],
    [
      'a tensor in two shards',
      { [q]: one, [gate]: two },
      { [one]: all, [two]: [all[1]!] },
      { code: 'bad-checkpoint' },
      /which the index puts in two/,
    ],
    [
      'a path out of the folder',
      { [q]: '../x' },
      {},
      { code: 'bad-checkpoint' },
      /"\.\.\/x", which is no file/,
    ],
    ['a URL', { [q]: 'http://x/y' }, {}, { code: 'bad-checkpoint' }, /which is no file/],
    ['no file name', { [q]: 3 }, {}, { code: 'bad-checkpoint' }, /put in 3, which/],
  ];
  it.each(badShards)('refuses %s', async (_, map, files, code, message) => {
    const error = await shards(map, files).catch((e) => e);
    expect(error).toMatchObject(code);
    expect(error.message).toMatch(message);
  });

  const bad: [string, NamedTensor[], object, RegExp][] = [
    [
      'missing tensors',
      [all[0]!],
      { code: 'bad-checkpoint', details: { tensor: gate } },
      /lacks the tensor "model/,
    ],
    [
      'extra tensors',
      [...all, f32('bias', 1)],
      { code: 'bad-checkpoint', details: { file: FILE, tensor: 'bias' } },
      /no place for the tensor "bias"/,
    ],
    [
      'a wrong shape',
      [f32(q, 4, 2), all[1]!],
      { code: 'bad-checkpoint', details: { tensor: q, found: [4, 2], expected: [2, 4] } },
      /shape \[4,2\], config.json asks for \[2,4\]/,
    ],
    [
      'attention in an MLP-only block',
      [...all, f32('model.layers.1.self_attn.q_proj.weight', 2, 4)],
      { code: 'bad-checkpoint' },
      /makes model\.layers\.1 an MLP-only block/,
    ],
    [
      'an attention norm in an MLP-only block',
      [...all, f32('model.layers.1.input_layernorm.weight', 4)],
      { code: 'bad-checkpoint' },
      /MLP-only block/,
    ],
    [
      'a bias of an attention that has none',
      [...all, f32('model.layers.0.self_attn.q_proj.bias', 2)],
      { code: 'bad-checkpoint' },
      /no place for/,
    ],
  ];
  it.each(bad)('refuses %s', async (_, tensors, fields, message) => {
    const error = await open(tensors).catch((e) => e);
    expect(error).toMatchObject(fields);
    expect(error.message).toMatch(message);
  });

  it('refuses dtypes it cannot run, and a folder without weights', async () => {
    const file = fileOf({ w: { dtype: 'I8', shape: [4], data_offsets: [0, 4] } }, 4);
    const wrong = openCheckpoint(memorySource({ [FILE]: file }), [{ name: 'w', shape: [4] }]);
    await expect(wrong).rejects.toMatchObject({ code: 'unsupported', details: { tensor: 'w', dtype: 'I8' } });
    await expect(openCheckpoint(memorySource({}), wanted)).rejects.toMatchObject({ code: 'not-found' });
    const index = openCheckpoint(memorySource({ [INDEX]: '{"weight_map": []}' }), wanted);
    await expect(index).rejects.toMatchObject({ code: 'bad-checkpoint' });
  });
});

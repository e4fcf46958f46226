// Which format each matrix of a GGUF file is kept in, and how its blocks are read as they are.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readHeaders } from '../../src/engine/engine.ts';
import { autoFormats, convertedText } from '../../src/engine/weight-formats.ts';
import { readEntries } from '../../src/formats/checkpoint.ts';
import { widen } from '../../src/formats/gguf/widen.ts';
import { openSource } from '../../src/formats/open-source.ts';
import { FORMATS } from '../../src/quant/index.ts';

const bytes = new Uint8Array(readFileSync(join(import.meta.dirname, '../fixtures/tiny-llama.gguf')));
const source = openSource(new File([bytes], 'tiny-llama.gguf'));

it('each matrix is in its own format; gate and up of two kinds are f32, and that is said', async () => {
  const { sizes, note } = await readHeaders(source, {});
  const own = Object.fromEntries(
    [...sizes.own!]
      .filter(([name]) => !name.includes('layers.1'))
      .map(([name, dtype]) => [name.split('.').at(-2), dtype]),
  );
  expect(own).toEqual({
    embed_tokens: 'q8',
    ...{ q_proj: 'q8', k_proj: 'q4', v_proj: 'q5', o_proj: 'q4' },
    ...{ gate_proj: 'f32', up_proj: 'f32', down_proj: 'bf16' },
  });
  expect(note).toMatch(/Q5_1 as f32\.$/);
});

it('a matrix that takes in a factor is rounded anew, and that is said', async () => {
  const { spec, checkpoint } = await readHeaders(source, {});
  const found = autoFormats({ ...spec, scales: { residual: 0.22 } }, checkpoint);
  expect(found.own.get('model.layers.0.self_attn.o_proj.weight')).toBe('q8');
  expect(found.own.get('model.layers.0.mlp.down_proj.weight')).toBe('f16');
  expect(found.own.get('model.layers.0.self_attn.k_proj.weight')).toBe('q4');
  expect(convertedText(found)).toContain('Q4_1 as q8');
});

it('a dtype that is asked for is that of every matrix', async () => {
  const { sizes, note } = await readHeaders(source, { dtype: 'q4' });
  expect(sizes).toMatchObject({ dtype: 'q4', asStored: false, own: new Map() });
  expect(note).toBeUndefined();
});

it('blocks make the values that are read without them, rows in the same order, wherever a span is cut', async () => {
  const [values, blocks] = [await readEntries(source), await readEntries(source, undefined, true)];
  expect([...blocks.keys()]).toEqual([...values.keys()]);
  for (const [name, entry] of blocks) {
    const wide = values.get(name)!;
    const expected = await source.read(wide.file, wide.start, wide.end);
    const length = entry.end - entry.start;
    const cuts = [0, 1, Math.floor(length / 3), length].map((at) => entry.start + at);
    const parts: Uint8Array[] = [];
    await source.readSpans(entry.file, cuts, (part) => parts.push(part.slice()));
    const stored = new Uint8Array(Buffer.concat(parts));
    expect(stored.length, name).toBe(entry.stored!.bytes);
    const read = entry.blocks ? new Uint8Array(widen(stored, entry.blocks).buffer) : stored;
    expect(Buffer.from(read).equals(Buffer.from(expected)), name).toBe(true);
  }
});

it('every format says what it holds: a type of blocks is in one alone', () => {
  const types = Object.values(FORMATS).flatMap((format) =>
    'blocks' in format ? Object.keys(format.blocks!) : [],
  );
  expect(types.sort()).toEqual(['Q4_0', 'Q4_1', 'Q4_K', 'Q5_0', 'Q5_1', 'Q5_K', 'Q6_K', 'Q8_0']);
});

// Shaders are put together from files, and kept choices of kernels are thrown away when any of the files changes.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { SHADERS, shadersDigest } from '../../src/gpu/shader.ts';
import { TRAIN_SHADERS } from '../../src/train/kernels/texts.ts';

const folder = join(import.meta.dirname, '../../shaders');
const all = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.wgsl'))
  .map((file) => file.replaceAll('\\', '/').slice(0, -'.wgsl'.length))
  .sort();
const ofTraining = all.filter((name) => name.startsWith('train/'));
const names = all.filter((name) => !name.startsWith('train/'));

test("every file of shaders/ is there, those of training apart from the engine's", () => {
  expect([...SHADERS.keys()].sort()).toEqual(names);
  const keys = ofTraining.map((name) => name.replace(/^train\/shared/, 'shared'));
  expect([...TRAIN_SHADERS.keys()].sort()).toEqual(keys.sort());
  // A text of training hides none of the engine's.
  expect(keys.filter((key) => SHADERS.has(key))).toEqual([]);
});

// WGSL has it, but naga, the compiler of Firefox, refuses it to four halves and splats one f32 where it is to two.
test.each([...SHADERS, ...TRAIN_SHADERS])('%s casts no bits to f16', (_, text) => {
  expect(text).not.toMatch(/bitcast\s*<\s*(vec\d\s*<\s*f16|vec\dh|f16)/);
});

test.each(names)('a change of %s changes the digest', (name) => {
  const changed = new Map(SHADERS).set(name, `${SHADERS.get(name)} `);
  expect(shadersDigest(changed)).not.toBe(shadersDigest());
  const without = new Map(SHADERS);
  without.delete(name);
  expect(shadersDigest(without)).not.toBe(shadersDigest());
});

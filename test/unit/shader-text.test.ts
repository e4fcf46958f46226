// Shaders are put together from files, and kept choices of kernels are thrown away when any of the files changes.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { SHADERS, shadersDigest } from '../../src/gpu/shader.ts';

const folder = join(import.meta.dirname, '../../shaders');
const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.wgsl'))
  .map((file) => file.replaceAll('\\', '/').slice(0, -'.wgsl'.length));

test('every file of shaders/ is there', () => {
  expect([...SHADERS.keys()].sort()).toEqual(names.sort());
});

// WGSL has it, but naga, the compiler of Firefox, refuses it to four halves and splats one f32 where it is to two.
test.each(names)('%s casts no bits to f16', (name) => {
  expect(SHADERS.get(name)).not.toMatch(/bitcast\s*<\s*(vec\d\s*<\s*f16|vec\dh|f16)/);
});

test.each(names)('a change of %s changes the digest', (name) => {
  const changed = new Map(SHADERS).set(name, `${SHADERS.get(name)} `);
  expect(shadersDigest(changed)).not.toBe(shadersDigest());
  const without = new Map(SHADERS);
  without.delete(name);
  expect(shadersDigest(without)).not.toBe(shadersDigest());
});

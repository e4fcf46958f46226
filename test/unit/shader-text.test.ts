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

test.each(names)('a change of %s changes the digest', (name) => {
  const changed = new Map(SHADERS).set(name, `${SHADERS.get(name)} `);
  expect(shadersDigest(changed)).not.toBe(shadersDigest());
  const without = new Map(SHADERS);
  without.delete(name);
  expect(shadersDigest(without)).not.toBe(shadersDigest());
});

// docs/api.md knows every name that the package's main entry exports; `npm run docs` writes it anew.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

test('every export of src/index.ts has a section', () => {
  const index = read('src/index.ts');
  const lists = [...index.matchAll(/export (?:type )?\{([^}]*)\}/g)].flatMap(([, list]) => list!.split(','));
  const whole = [...index.matchAll(/export type \* from '\.\/(.*)'/g)].flatMap(([, path]) =>
    [...read(`src/${path}`).matchAll(/^export (?:interface|type) (\w+)/gm)].map(([, name]) => name!),
  );
  const names = [...lists, ...whole].map((name) => name.replace(/^\s*type /, '').trim()).filter(Boolean);
  expect(names).toContain('loadModel');
  expect(names).toContain('GenerateOptions');
  const sections = [...read('docs/api.md').matchAll(/^### (\w+)$/gm)].map(([, name]) => name!);
  expect(sections).toEqual(expect.arrayContaining(names));
  for (const name of ['chatCompletions', 'analyze', 'runBench']) expect(sections).toContain(name);
});

// The page on errors has a section for each code, and for nothing else.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '../..');
const union = /type ErrorCode =([^;]*);/.exec(readFileSync(join(root, 'src/errors.ts'), 'utf8'))![1]!;
const codes = [...union.matchAll(/'([a-z-]+)'/g)].map(([, code]) => code!);
const [, ...sections] = readFileSync(join(root, 'docs/troubleshooting.md'), 'utf8').split(/^## /m);

test('every code has a section, in the order of the alphabet', () => {
  expect(codes).toContain('bad-argument');
  expect(sections.map((section) => section.split('\n')[0])).toEqual(
    codes.toSorted().map((code) => `\`${code}\``),
  );
});

test.each(sections)('%s', (section) => {
  const parts = [...section.matchAll(/^\*\*(\w+):\*\* (.+)$/gm)];
  expect(parts.map(([, name]) => name)).toEqual(['Means', 'Why', 'Do']);
  for (const [, , text] of parts) expect(text!.split(' ').length).toBeGreaterThan(4);
});

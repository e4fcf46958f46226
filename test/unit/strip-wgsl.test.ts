// The shaders of the built package say what the files say, line for line.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { stripWgsl } from '../../scripts/strip-wgsl.ts';

const SHADERS = join(import.meta.dirname, '../../shaders');
const files = readdirSync(SHADERS, { recursive: true, encoding: 'utf8' }).filter((file) =>
  file.endsWith('.wgsl'),
);

test('comments, indentation and spaces around operators go, code and line breaks stay', () => {
  expect(stripWgsl('// a\n#import x\n  let a = b / c; // d\n\n}\n\n')).toBe('\n#import x\nlet a=b/c;\n\n}');
});

test.each(files)('%s', (file) => {
  const text = readFileSync(join(SHADERS, file), 'utf8');
  // A block comment would be kept where it holds no `//`, and torn where it does.
  expect(text).not.toContain('/*');
  const stripped = stripWgsl(text).split('\n');
  text.split('\n').forEach((line, i) => {
    const at = line.indexOf('//');
    const code = (at < 0 ? line : line.slice(0, at)).trim();
    // The same letters; no words run together, and no operators.
    expect((stripped[i] ?? '').replaceAll(' ', '')).toBe(code.replaceAll(' ', ''));
    expect(stripped[i] ?? '').not.toMatch(/--|\/\/|&&&/);
    expect((stripped[i] ?? '').match(/\w+/g)).toEqual(code.match(/\w+/g));
  });
});

// Imports point down only, and only gpu/ and kernels/ make GPU objects: see the layers below.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

const SRC = join(import.meta.dirname, '../../src');

/** What each folder of src/ may import, besides itself and errors.ts. */
const BELOW: Record<string, readonly string[]> = {
  gpu: [],
  formats: [],
  grammar: [],
  quant: ['formats'],
  // The text of a shader that comes with its kernel.
  kernels: ['gpu', 'quant', 'formats', 'shaders'],
  model: ['kernels', 'quant', 'gpu', 'formats'],
  families: ['model', 'kernels'],
  engine: ['families', 'model', 'kernels', 'quant', 'gpu', 'formats', 'grammar'],
  api: ['engine', 'formats', 'grammar'],
  doors: ['api', 'engine', 'formats'],
  eval: ['engine'],
  train: ['engine', 'families', 'model', 'kernels', 'gpu', 'formats', 'bench', 'shaders'],
  convert: ['engine', 'families', 'model', 'kernels', 'quant', 'gpu', 'formats', 'train', 'bench'],
  bench: ['engine', 'families', 'model', 'kernels', 'quant', 'gpu', 'formats'],
};

const filesOf = (folder: string): string[] =>
  readdirSync(join(SRC, folder), { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ts'),
  );

describe.each(Object.entries(BELOW))('src/%s', (folder, below) => {
  const files = filesOf(folder);

  test('imports from below only', () => {
    expect(files.length).toBeGreaterThan(0);
    for (const file of files) {
      const text = readFileSync(join(SRC, folder, file), 'utf8');
      for (const [, to] of text.matchAll(/(?:from|import\() ?'(?:\.\.\/)+([a-z]+)\//g))
        expect([...below, folder], `${folder}/${file}`).toContain(to);
    }
  });
});

test('src imports nothing of the demo, nor of the tests', () => {
  const files = filesOf('.');
  expect(files).toContain('cli.ts');
  const imports = /\b(?:from|import)\s*\(?\s*'(\.[^']*)'/g;
  const outside = files.flatMap((file) =>
    Array.from(readFileSync(join(SRC, file), 'utf8').matchAll(imports), ([, to]) =>
      join(file, '..', to!),
    ).filter((to) => to.startsWith('..') && !to.startsWith('../shaders/')),
  );
  expect(outside).toEqual([]);
});

test('only gpu/ and kernels/ make GPU objects', () => {
  const makers =
    /\.create(Buffer|BindGroup|BindGroupLayout|ComputePipeline|ComputePipelineAsync|ShaderModule|QuerySet)\(/;
  const offenders = Object.keys(BELOW)
    .filter((folder) => folder !== 'gpu' && folder !== 'kernels')
    .flatMap((folder) => filesOf(folder).map((file) => `${folder}/${file}`))
    .filter((file) => makers.test(readFileSync(join(SRC, file), 'utf8')));
  expect(offenders).toEqual([]);
});

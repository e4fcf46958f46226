// Every shader that can be made, through the compiler of Firefox.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, inject, test } from 'vitest';
import { findNaga } from '../../scripts/find-naga.mjs';
import { trainingShaders } from '../../scripts/gpu-compiler/training.ts';
import { shaderText } from '../../src/gpu/shader.ts';
import { declaredShaders } from '../support/declared-shaders.ts';
import { adapterOf } from '../support/paper-gpu.ts';

const folder = mkdtempSync(join(tmpdir(), 'naga-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Writes each text as a file `0.wgsl` and so on, for naga reads files. */
function write(texts: readonly string[], name: string): string[] {
  const within = join(folder, name);
  mkdirSync(within);
  return texts.map((text, i) => {
    const file = join(within, `${i}.wgsl`);
    writeFileSync(file, text);
    return file;
  });
}

/** What naga says of texts that it refuses; '' for none. */
function refusals(naga: string, files: readonly string[]): string {
  try {
    execFileSync(naga, ['--bulk-validate', ...files], { encoding: 'utf8', stdio: 'pipe' });
    return '';
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    return `${stdout}${stderr}`;
  }
}

/** naga; where it is missing the test is skipped, but fails in a full run. */
function nagaOr(skip: (why: string) => void): string {
  try {
    return findNaga();
  } catch (error) {
    if (inject('full')) throw error;
    const { message } = error as Error;
    console.warn(`No shader is tried with Firefox's compiler: ${message}`);
    skip(message);
    throw error;
  }
}

/** Those whose kernels of training differ. */
const ADAPTERS = [
  adapterOf('software', true),
  adapterOf('software', true, { min: 8, max: 8 }),
  adapterOf('software', false, { min: 4, max: 4 }),
  adapterOf('gpu', true, { min: 32, max: 32 }),
  adapterOf('gpu', true, { min: 8, max: 32 }),
];

test('naga takes every shader that can be made', ({ skip }) => {
  const naga = nagaOr(skip);
  // naga has the functions, and not yet the line that asks for them.
  const shaders = [...declaredShaders, ...ADAPTERS.flatMap(trainingShaders)];
  const texts = shaders.map((spec) => shaderText(spec).code.replace(/^enable subgroups;$/m, ''));
  expect(texts.length).toBeGreaterThan(1000);
  expect(refusals(naga, write(texts, 'all'))).toBe('');
});

test('a shader that naga refuses is told', ({ skip }) => {
  expect(refusals(nagaOr(skip), write([WRONG], 'wrong'))).toContain('cannot cast');
});

/** A bitcast to four halves, which WGSL has and naga has not. */
const WRONG = `enable f16;
@group(0) @binding(0) var<storage, read_write> out: array<vec4f>;
@compute @workgroup_size(1) fn main() { out[0] = vec4f(bitcast<vec4<f16>>(bitcast<vec2<u32>>(out[0].xy))); }`;

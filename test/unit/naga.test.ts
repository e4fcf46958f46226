// Every shader that models make, through the compiler of Firefox.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, inject, test } from 'vitest';
import { findNaga } from '../../scripts/find-naga.mjs';
import type { Adapter } from '../../scripts/gpu-compiler/paper.ts';
import { shaderTexts, writeTexts } from '../../scripts/gpu-compiler/texts.ts';

const folder = mkdtempSync(join(tmpdir(), 'naga-'));
afterAll(() => rmSync(folder, { recursive: true }));

const adapter = (
  profile: Adapter['profile'],
  f16: boolean,
  subgroups: boolean,
  min = 0,
  max = 0,
): Adapter => ({
  profile,
  features: { f16, subgroups, timestamps: false },
  subgroupSize: { min, max },
  binding: 2 ** 27,
});

/** Software adapters and GPUs, with no features and with all; sums by subgroups depend on the size of those. */
const ADAPTERS = [
  adapter('software', false, false),
  adapter('software', true, true, 4, 4),
  adapter('gpu', false, false),
  adapter('gpu', true, true, 8, 32),
  adapter('gpu', true, true, 64, 128),
];

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
    if (inject('full') || process.env.FULL === '1') throw error;
    const { message } = error as Error;
    console.warn(`No shader is tried with Firefox's compiler: ${message}`);
    skip(message);
    throw error;
  }
}

test('naga takes every shader', async ({ skip }) => {
  const naga = nagaOr(skip);
  const texts = await shaderTexts(ADAPTERS);
  expect(texts.length).toBeGreaterThan(500);
  // naga has the functions, and not yet the line that asks for them.
  const known = texts.map(({ code }) => code.replace(/^enable subgroups;$/m, ''));
  expect(refusals(naga, await writeTexts(known, folder))).toBe('');
});

test('a shader that naga refuses is told', async ({ skip }) => {
  const files = await writeTexts([WRONG], join(folder, 'wrong'));
  expect(refusals(nagaOr(skip), files)).toContain('cannot cast');
});

/** A bitcast to four halves, which WGSL has and naga has not. */
const WRONG = `enable f16;
@group(0) @binding(0) var<storage, read_write> out: array<vec4f>;
@compute @workgroup_size(1) fn main() { out[0] = vec4f(bitcast<vec4<f16>>(bitcast<vec2<u32>>(out[0].xy))); }`;

// Analysis and conversion with the profile of a GPU forced on this adapter: the figures are those of the other profile, whose
// tests compare it with the CPU.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { analyze } from '../../src/convert/analyze.ts';
import { convert } from '../../src/convert/convert.ts';
import { stageMemory } from '../../src/convert/memory-folder.ts';
import { withOnGpu } from '../../src/convert/on-gpu.ts';
import type { Windows } from '../../src/convert/windows.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import type { Profile } from '../../src/gpu/profile.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { memorySource } from '../support/memory-source.ts';
import { SLOW } from '../support/thorough.ts';
import { randomTokens, tinyFiles, tinyModel } from '../support/tiny-models.ts';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

const tiny = tinyModel('llama', 7);
const windowsOf = (count: number, seed: number): number[][] =>
  Array.from({ length: count }, (_, i) => randomTokens(tiny.spec, 40, seed + i));
const windows: Windows = {
  calibration: windowsOf(8, 100),
  choosing: windowsOf(2, 200),
  test: windowsOf(2, 300),
  healing: [],
};

async function converted(profile: Profile) {
  const gpuOptions = { device: gpu.device, profile };
  const source = memorySource({ ...tinyFiles(tiny), ...charTokenizerFiles() });
  return withOnGpu(source, gpuOptions, async (parent) => {
    expect(parent.runner.parts.gpu.profile).toBe(profile);
    const { analysis } = await analyze(parent, windows, { storedBytes: 4 });
    const stage = async () => stageMemory('child');
    const options = { keepAttention: 1, linear: true };
    const report = await convert(parent, async () => windows, stage, options, gpuOptions);
    return { analysis, report };
  });
}

test('a model is analysed and converted alike in both profiles', { timeout: SLOW }, async () => {
  const found = await converted('gpu');
  const expected = await converted('software');
  expect(found.report.layers).toEqual(expected.report.layers);
  expect(found.report.steps.map(({ step }) => step)).toEqual([
    'parent',
    'attention dropped',
    'linear maps',
    'written',
  ]);
  for (const [i, { step, perplexity }] of found.report.steps.entries())
    expect(perplexity / expected.report.steps[i]!.perplexity, step).toBeCloseTo(1, 3);
  for (const [i, block] of found.analysis.blocks.entries()) {
    const other = expected.analysis.blocks[i]!;
    expect(block.r2).toBeCloseTo(other.r2, 3);
    expect(block.blockInfluence).toBeCloseTo(other.blockInfluence, 4);
    expect(block.perplexity.skip / other.perplexity.skip).toBeCloseTo(1, 3);
    expect(block.perplexity.linear / other.perplexity.linear).toBeCloseTo(1, 3);
  }
});

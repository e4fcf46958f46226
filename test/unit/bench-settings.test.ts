import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { benchModelText, PRESETS, parseBenchModel, shapeModel, sliceStack } from '../../src/bench/models.ts';
import { describe as describeModel } from '../../src/bench/open.ts';
import {
  contextOf,
  FULL,
  parseSettings,
  QUICK,
  settingsFromLink,
  settingsToLink,
} from '../../src/bench/settings.ts';
import { spreadOf } from '../../src/bench/stats.ts';
import { specOf } from '../../src/families/index.ts';
import { openFolder } from '../../src/formats/node-folder.ts';
import { parameterCount } from '../../src/model/spec.ts';

const pair = { parent: 'MobileLLM-125M', child: 'MobileLLM-125M:15,15,7,0' };
const parametersOf = (text: string): number => {
  const asked = parseBenchModel(text);
  if (asked.kind !== 'shape') throw new Error('not a shape');
  return parameterCount(shapeModel(asked, undefined).spec);
};

describe('shapes', () => {
  // Published counts of the parents, and the formula of the children.
  test.each([
    ['MobileLLM-125M', 124_635_456],
    ['MobileLLM-350M', 345_355_200],
    ['MobileLLM-600M', 603_188_352],
    ['SmolLM2-135M', 134_515_008],
    ['SmolLM2-360M', 361_821_120],
    ['Llama-3.2-1B', 1_235_814_400],
    ['MobileLLM-125M:20,10,5,0', 102_508_416],
    ['MobileLLM-125M:15,15,7,0', 92_772_288],
    ['MobileLLM-600M:28,12,6,0', 496_999_296],
    ['MobileLLM-600M:24,16,8,0', 461_602_944],
  ])('%s has %i parameters', (text, parameters) => {
    expect(parametersOf(text)).toBe(parameters);
  });

  test('children keep the depth of their parent', () => {
    for (const { shape, children } of PRESETS)
      for (const [front, mlp, shared, end] of children) {
        expect(front + mlp + end).toBe(shape.layers);
        expect(2 * shared).toBeLessThanOrEqual(mlp);
      }
  });

  test('a slice keeps the proportions and says that it is one', () => {
    expect(sliceStack([15, 15, 7, 0], 6)).toEqual([3, 3, 1, 0]);
    expect(sliceStack([10, 10, 5, 10], 6)).toEqual([2, 2, 1, 2]);
    expect(sliceStack([30, 0, 0, 0], 6)).toEqual([6, 0, 0, 0]);
    expect(sliceStack([2, 1, 0, 0], 6)).toEqual([2, 1, 0, 0]);
    const { label, spec } = shapeModel({ kind: 'shape', preset: 'MobileLLM-125M', stack: [15, 15, 7, 0] }, 6);
    expect(label).toBe('MobileLLM-125M (3,3,1,0) [6 of 30 blocks]');
    expect(spec.blocks).toHaveLength(6);
  });

  test.each([
    ['MobileLLM-125M:15,15', /not front,mlp,shared,end/],
    ['MobileLLM-125M:15,15,8,0', /8 shared pairs need 16/],
    ['MobileLLM-125M:0,0,0,0', /no blocks/],
    ['MobileLLM-125M:a,b,c,d', /not front,mlp,shared,end/],
    ['MobileLLM-125M:7', /not front,mlp,shared,end/],
    ['MobileLM-125M:15,15,7,0', /no preset "MobileLM-125M". Presets: MobileLLM-125M, /],
    [' ', /missing/],
  ])('"%s" is refused', (text, why) => {
    expect(() => parseBenchModel(text)).toThrow(why);
  });

  test('a name that is neither preset nor folder is told the presets', async () => {
    await expect(describeModel(parseBenchModel('Tiny-2M'), { openFolder })).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringMatching(/"Tiny-2M" is no preset.*Tiny-1M/),
    });
    await expect(describeModel(parseBenchModel('./Tiny-2M'), { openFolder })).rejects.toThrow(
      /no folder \.\/Tiny-2M/,
    );
  });

  test('texts of specs read back; what is no preset is a folder', () => {
    for (const text of ['SmolLM2-135M', 'SmolLM2-135M:1,2,1,3', 'models/child/', '/data/MobileLLM-125M'])
      expect(benchModelText(parseBenchModel(text))).toBe(text);
    expect(benchModelText(parseBenchModel('smollm2-135m:1,2,1,3'))).toBe('SmolLM2-135M:1,2,1,3');
    for (const source of ['http://localhost:8080/a,b/', 'C:\\models\\child', 'c:1'])
      expect(parseBenchModel(source)).toEqual({ kind: 'folder', source });
    expect(parseBenchModel('models/child/')).toEqual({ kind: 'folder', source: 'models/child/' });
  });
});

describe('settings', () => {
  test('a link gives the same settings', () => {
    const settings = parseSettings({ ...pair, blocks: '6', kernels: 'no', training: 'yes', kv: 'f16' }, FULL);
    expect(settingsFromLink(`#${settingsToLink(settings)}`)).toEqual(settings);
  });

  test('lists are sorted and distinct; an empty one leaves the measurement out', () => {
    const settings = parseSettings({ ...pair, prompts: '64, 8,64', batches: '' });
    expect(settings.prompts).toEqual([8, 64]);
    expect(settings.batches).toEqual([]);
  });

  test('the context holds prompts, and positions with their steps', () => {
    expect(contextOf(parseSettings({ ...pair, prompts: '10', positions: '100', steps: '5' }))).toBe(105);
    expect(contextOf(parseSettings({ ...pair, prompts: '500', positions: '100' }))).toBe(500);
  });

  test.each(['parent', 'child'])('the usual ones fit the context of the embedded %s', (name) => {
    const spec = readFileSync(
      new URL(`../../demo/public/models/${name}/config.json`, import.meta.url),
      'utf8',
    );
    const { maxPositions } = specOf(JSON.parse(spec));
    expect(
      contextOf({ ...QUICK, parent: parseBenchModel(name), child: parseBenchModel(name) }),
    ).toBeLessThanOrEqual(maxPositions);
  });

  test.each([
    [{ parent: '' }, 'parent'],
    [{ child: 'Tiny-1M:1,1,1,1' }, 'child'],
    [{ dtype: 'int3' }, 'dtype'],
    [{ kv: 'q8' }, 'kv'],
    [{ prompts: '0' }, 'prompts'],
    [{ positions: '1.5' }, 'positions'],
    [{ batches: '1,1000' }, 'batches'],
    [{ blocks: 'some' }, 'blocks'],
    [{ kernels: 'maybe' }, 'kernels'],
    [{ training: '' }, 'training'],
    [{ colour: 'red' }, 'colour'],
  ])('%o is refused by name', (wrong, setting) => {
    expect(() => parseSettings({ ...pair, ...(wrong as Record<string, string>) })).toThrow(
      expect.objectContaining({ code: 'bad-argument', details: expect.objectContaining({ setting }) }),
    );
  });
});

test('quartiles are linear between samples, whatever their order', () => {
  const { median, q1, q3, samples } = spreadOf([4, 1, 3, 2]);
  expect([q1, median, q3]).toEqual([1.75, 2.5, 3.25]);
  expect(samples).toEqual([4, 1, 3, 2]);
  expect(spreadOf([7])).toMatchObject({ q1: 7, median: 7, q3: 7 });
});

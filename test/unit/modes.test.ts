// Which positions of the cache a change of modes keeps, and which modes a setting means.
import { describe, expect, test } from 'vitest';
import { modesOf, planInModes } from '../../src/engine/modes.ts';
import { PrefixCache } from '../../src/engine/prefix-cache.ts';
import { type Mode, pruned } from '../../src/model/prune.ts';
import { type Plan, planOf } from '../../src/model/spec.ts';
import { tinyModel } from '../support/tiny-models.ts';

const plan = planOf(tinyModel('shishu', 7).spec);
const LAYERS = [0, 1, 7];
const maps = new Map([
  [0, {}],
  [7, {}],
]);
const inModes = (modes: Record<number, Mode>): Plan => pruned(plan, modes, maps);
const all = inModes({});
const skip1 = inModes({ 1: 'skip' });
const skip17 = inModes({ 1: 'skip', 7: 'skip' });
const linear7 = inModes({ 7: 'linear' });

const TEXT = Array.from({ length: 40 }, (_, i) => i);
function cacheOf(...runs: (readonly [length: number, plan: Plan])[]): PrefixCache {
  const cache = new PrefixCache();
  let at = 0;
  for (const [length, plan] of runs) {
    cache.append(TEXT.slice(at, at + length), plan);
    at += length;
  }
  return cache;
}

describe('the prefix cache', () => {
  test('keeps a text up to its last token, or to where it differs', () => {
    const cache = cacheOf([10, all]);
    expect(cache.reusable(TEXT, all)).toBe(10);
    expect(cache.reusable(TEXT.slice(0, 10), all)).toBe(9);
    expect(cache.reusable([0, 1, 2, 9, 4], all)).toBe(3);
    expect(cache.reusable([5], all)).toBe(0);
  });

  test('going down keeps all, going up what ran in exactly these modes', () => {
    expect(cacheOf([6, all], [4, skip1]).reusable(TEXT, skip1)).toBe(10);
    expect(cacheOf([6, all], [4, skip1]).reusable(TEXT, skip17)).toBe(10);
    expect(cacheOf([6, all], [4, skip1]).reusable(TEXT, all)).toBe(6);
    // Not the six positions of fuller modes: a fresh run has none.
    expect(cacheOf([6, all], [4, skip17]).reusable(TEXT, skip1)).toBe(0);
    expect(cacheOf([6, all], [4, skip17]).reusable(TEXT.slice(0, 5), skip1)).toBe(4);
    // Neither above the other.
    expect(cacheOf([6, skip1]).reusable(TEXT, linear7)).toBe(0);
  });

  test('a linear map stands between attention and nothing', () => {
    expect(cacheOf([6, all]).reusable(TEXT, linear7)).toBe(6);
    expect(cacheOf([6, linear7]).reusable(TEXT, inModes({ 7: 'skip' }))).toBe(6);
    expect(cacheOf([6, inModes({ 7: 'skip' })]).reusable(TEXT, linear7)).toBe(0);
  });

  test('what was released has to run again; what never attended has not', () => {
    const cache = cacheOf([6, all], [4, skip1]);
    cache.release([1]);
    expect(cache.reusable(TEXT, skip1)).toBe(10);
    expect(cache.reusable(TEXT, all)).toBe(0);
    cache.truncate(0);
    cache.append(TEXT.slice(0, 3), all);
    expect(cache.reusable(TEXT, all)).toBe(3);
    // Beside positions that lack it, the same plan makes a run of its own.
    cache.release([1]);
    cache.append(TEXT.slice(3, 5), all);
    expect(cache.reusable(TEXT, all)).toBe(0);
  });

  test('forgets from a position on', () => {
    const cache = cacheOf([6, all], [4, skip1], [4, all]);
    cache.truncate(8);
    expect(cache.reusable(TEXT, skip1)).toBe(8);
    cache.truncate(6);
    expect(cache.reusable(TEXT, all)).toBe(6);
    cache.append([6, 7], skip17);
    expect(cache.reusable(TEXT, skip17)).toBe(8);
    cache.truncate(20);
    expect(cache.reusable(TEXT, skip17)).toBe(8);
  });
});

describe('settings', () => {
  const modes = (setting: Parameters<typeof planInModes>[1], order?: Parameters<typeof planInModes>[2]) =>
    modesOf(plan, planInModes(plan, setting, order, maps));
  const full = { 0: 'attention', 1: 'attention', 7: 'attention' };

  test('modes by layer; the others keep their attention', () => {
    expect(modes({})).toEqual(full);
    expect(modes({ 1: 'skip', 7: 'linear' })).toEqual({ ...full, 1: 'skip', 7: 'linear' });
  });

  test('a level takes attention away in order, from the top down where none is given, maps in its place', () => {
    expect(modes({ level: 1 })).toEqual(full);
    expect(modes({ level: 0.6 })).toEqual({ ...full, 7: 'linear' });
    expect(modes({ level: 0.5 })).toEqual({ ...full, 7: 'linear' });
    expect(modes({ level: 1 / 3 })).toEqual({ ...full, 1: 'skip', 7: 'linear' });
    expect(modes({ level: 0 })).toEqual({ 0: 'linear', 1: 'skip', 7: 'linear' });
    expect(modes({ level: 0.6, order: [1] })).toEqual({ ...full, 1: 'skip' });
    expect(modes({ level: 0.3 }, [1, 0, 7])).toEqual({ ...full, 0: 'linear', 1: 'skip' });
    const analysis = { order: { skip: [1, 0, 7], linear: [0, 1, 7] } };
    expect(modes({ level: 0.6 }, analysis)).toEqual({ ...full, 0: 'linear' });
    const without = planInModes(plan, { level: 0.6 }, analysis, new Map());
    expect(modesOf(plan, without)).toEqual({ ...full, 1: 'skip' });
  });

  test.each([
    [{ 3: 'skip' }, /Layer 3 is not an attention block/],
    [{ 8: 'skip' }, /Layer 8/],
    [{ x: 'skip' }, /Layer x/],
    [{ 1: 'linear' }, /Layer 1 has no linear map/],
    [{ 1: 'off' }, /"off"/],
    [{ level: 1.5 }, /"level" is 1.5, expected a number from 0 to 1/],
    [{ level: Number.NaN }, /NaN/],
    [{ level: '1' }, /level/],
    [{ level: 1, order: [2] }, /Layer 2 is not/],
    [{ level: 1, order: [1, 1] }, /each layer once/],
    [{ level: 1, order: 3 }, /order/],
    [{ level: 1, 0: 'skip' }, /modes\.0/],
    ['low', /modes/],
    [null, /modes/],
  ])('%o is refused by name', (setting, message) => {
    expect(() => modes(setting as never)).toThrow(message);
    expect(() => modes(setting as never)).toThrow(expect.objectContaining({ code: 'bad-argument' }));
  });

  test('the tiny model attends where these tests think', () => {
    expect(plan.filter(({ kind }) => kind === 'attention').map(({ layer }) => layer)).toEqual(LAYERS);
  });
});

// Which way lanes are added up and rows of x are read, by what an adapter's subgroups are sure to be.
import { describe, expect, test } from 'vitest';
import { reduceInclude, rowsInclude, VARIANTS } from '../../src/kernels/tuning.ts';
import { adapterOf, paperGpu } from '../support/paper-gpu.ts';

const without = paperGpu(adapterOf('gpu', false));
const withSizes = (min: number, max: number) => paperGpu(adapterOf('gpu', false, { min, max }));

describe('lanes are added up', () => {
  test.each(VARIANTS.matvec)('$lanes lanes, in workgroup memory without subgroups', ({ lanes }) => {
    expect(reduceInclude(without, lanes)).toBe(lanes === 1 ? 'reduce_none' : 'reduce_shared');
  });

  test('by subgroups where they are sure to fit the lanes', () => {
    expect(reduceInclude(withSizes(32, 32), 64)).toBe('reduce_subgroup');
    expect(reduceInclude(withSizes(8, 32), 32)).toBe('reduce_subgroup');
    expect(reduceInclude(withSizes(8, 32), 16)).toBe('reduce_shared');
    expect(reduceInclude(withSizes(8, 32), 1)).toBe('reduce_none');
    // What is not told is not relied on.
    expect(reduceInclude(withSizes(0, 0), 64)).toBe('reduce_shared');
  });

  test('a subgroup of any size that a pipeline may get lies within the lanes of a row', () => {
    const sizes = [4, 8, 16, 32, 64, 128];
    const lanesOf = VARIANTS.matvec.map(({ lanes }) => lanes).filter((lanes) => lanes > 1);
    let used = 0;
    for (const min of sizes)
      for (const max of sizes.filter((size) => size >= min))
        for (const lanes of lanesOf) {
          if (reduceInclude(withSizes(min, max), lanes) !== 'reduce_subgroup') continue;
          used++;
          for (const size of sizes) if (size >= min && size <= max) expect(lanes % size).toBe(0);
        }
    expect(used).toBeGreaterThan(0);
  });
});

describe('rows of x are told by subgroups', () => {
  test('only where four threads that have rows of their own are sure to be there', () => {
    expect(rowsInclude(withSizes(4, 8), 'few')).toBe('plain/x_subgroup');
    expect(rowsInclude(withSizes(4, 8), 'many')).toBe('plain/x_subgroup');
    expect(rowsInclude(withSizes(4, 8), 'one')).toBe('plain/x_own');
    expect(rowsInclude(withSizes(2, 64), 'many')).toBe('plain/x_own');
    expect(rowsInclude(without, 'many')).toBe('plain/x_own');
  });
});

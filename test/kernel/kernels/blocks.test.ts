// What kernels read of GGUF's blocks: the values that the Python package gguf makes of them, bit for bit.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type BlockType, TYPES } from '../../../src/formats/gguf/types.ts';
import type { Gpu } from '../../../src/gpu/device.ts';
import { embed } from '../../../src/kernels/embed.ts';
import { stride } from '../../../src/kernels/tensor.ts';
import { dtypeOfBlocks, packBlocks } from '../../../src/model/pack.ts';
import fixture from '../../fixtures/gguf-blocks.json' with { type: 'json' };
import { unbase64, unpacked } from '../../support/fixture-bytes.ts';
import { openTestGpu } from '../../support/gpu-features.ts';
import { Rig } from '../../support/gpu-rig.ts';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

const KEPT = Object.entries(fixture.types).filter(([type]) => dtypeOfBlocks(type as BlockType));

test.each(KEPT)('%s', async (name, { blocks, values }) => {
  const type = name as BlockType;
  const rig = new Rig(gpu);
  // Two blocks a row.
  const cols = 2 * TYPES[type].values;
  const expected = unpacked(values);
  const rows = expected.length / cols;
  const { codes, scales } = packBlocks(type, unbase64(blocks), cols, 'test');
  const part = {
    row0: 0,
    rows,
    dtype: dtypeOfBlocks(type)!,
    codes: rig.upload('codes', codes),
    scales: rig.upload('scales', scales),
    vectors: undefined,
  };
  const out = rig.output(rows, cols);
  const tokens = rig.rows(Array.from({ length: rows }, (_, token) => ({ token })));
  const table = { rows, cols, parts: [part], hasGain: false, hasBias: false };
  await rig.run([
    {
      step: { rows },
      record: (recorder, step) => embed(recorder, { table, rows: tokens, out, step }),
      async check() {
        const found = await rig.floatsOf(out.buffer);
        for (let row = 0; row < rows; row++) {
          const own = found.subarray(row * stride(cols), row * stride(cols) + cols);
          // Zeros have no sign.
          const plain = (of: Float32Array): number[] => [...of].map((value) => value + 0);
          expect(plain(own)).toEqual(plain(expected.subarray(row * cols, (row + 1) * cols)));
        }
      },
    },
  ]);
});

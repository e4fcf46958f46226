// A GPU without the memory that training takes: what would take less is said.
import { expect, it, vi } from 'vitest';
import { childConfig } from '../../src/convert/child-config.ts';
import { heal } from '../../src/convert/heal.ts';
import { mixtureOf } from '../../src/convert/windows.ts';
import { ShishuError } from '../../src/errors.ts';
import { specOf } from '../../src/families/index.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { initialWeights } from '../../src/train/initial.ts';
import { modelWith, parent, parentJson } from '../support/heal-fixtures.ts';

const create = vi.hoisted(() => vi.fn());
vi.mock('../../src/train/trainer.ts', () => ({ Trainer: { create } }));

const child = specOf(childConfig(parentJson, parent, { layers: [1, 2], pairs: [], linear: true }));

it('names the memory, and what takes less of it', async () => {
  create.mockRejectedValue(new ShishuError('out-of-memory', 'There is no memory for training.'));
  const windows = Array.from({ length: 40 }, (_, i) => Array.from({ length: 33 }, (_, j) => (i + j) % 24));
  const lines: string[] = [];
  const healed = heal(
    {} as Gpu,
    await modelWith(parent, initialWeights(parent, 1)),
    await modelWith(child, initialWeights(child, 1)),
    { healing: mixtureOf(windows), choosing: [] },
    { tokens: 5000, log: (line) => lines.push(line) },
  );
  await expect(healed).rejects.toMatchObject({
    code: 'out-of-memory',
    message: expect.stringMatching(
      /found no \d\.\d MB .* Less would be: all with 1 window of 32 at once .*; changed with 1 window .*; lora:16/,
    ),
  });
  expect(lines[0]).toMatch(
    /^healing: \d+ steps of \d+ windows of 32 tokens, \d+ at once; trained: all, in \d\.\d MB/,
  );
  expect(create.mock.calls[0]![3]).toMatchObject({ lowest: 1, trained: 'all', teacher: { mix: 1 } });
});

it('leaves other faults as they are', async () => {
  create.mockRejectedValue(new ShishuError('device-lost', 'It is gone.'));
  const windows = [Array.from({ length: 33 }, (_, j) => j % 24)];
  const text = { healing: mixtureOf(windows), choosing: [] };
  const healed = heal(
    {} as Gpu,
    await modelWith(parent, initialWeights(parent, 1)),
    await modelWith(child, initialWeights(child, 1)),
    text,
    { tokens: 100 },
  );
  await expect(healed).rejects.toMatchObject({ code: 'device-lost', message: 'It is gone.' });
});

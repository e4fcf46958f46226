import { describe, expect, it } from 'vitest';
import { childConfig } from '../../src/convert/child-config.ts';
import { learningRateFor } from '../../src/convert/heal.ts';
import { checkHealing, type HealOptions, lessMemoryText, planHealing } from '../../src/convert/heal-plan.ts';
import { mixtureOf } from '../../src/convert/windows.ts';
import { specOf } from '../../src/families/index.ts';
import { trainingBytes } from '../../src/train/plan.ts';
import { parent, parentJson } from '../support/heal-fixtures.ts';

const LENGTH = 24;
const text = Array.from({ length: 120 }, (_, i) =>
  Array.from({ length: LENGTH + 1 }, (_, j) => (i * j) % 24),
);
const healingText = { healing: mixtureOf(text), choosing: text.slice(0, 4) };
const largeJson = {
  ...parentJson,
  hidden_size: 576,
  head_dim: 64,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  intermediate_size: 1536,
  num_hidden_layers: 30,
  vocab_size: 49152,
};
const large = specOf(largeJson);
const childOf = (layers: number[]) =>
  specOf(childConfig(largeJson, large, { layers, pairs: [], linear: true }));

describe('what is trained goes by the memory there is', () => {
  const child = childOf([7, 12, 17]);
  const plan = (options: Partial<HealOptions>) =>
    planHealing(large, child, healingText, { tokens: 60_000, ...options });

  it('everything above the lowest changed block where it fits, then the changed blocks, then LoRA', () => {
    const all = plan({});
    expect(all).toMatchObject({ trained: 'all', lowest: 7, length: LENGTH, rows: 42 });
    expect(all.rows * all.accumulate * LENGTH).toBeGreaterThan(1800);
    expect(all.steps * all.rows * all.accumulate * (LENGTH + 1)).toBeGreaterThan(57_000);
    const one = plan({ trained: 'all', rows: 1 });
    expect(one.bytes).toBeLessThan(all.bytes);
    // Fewer windows at once go before fewer weights.
    expect(plan({ memory: one.bytes })).toMatchObject({ trained: 'all', rows: 1, accumulate: 78 });
    const changed = plan({ memory: one.bytes - 1 });
    expect(changed.trained).toBe('changed');
    const least = plan({ trained: 'changed', rows: 1 });
    const lora = planHealing(large, childOf(Array.from({ length: 20 }, (_, i) => i)), healingText, {
      tokens: 60_000,
      memory: 1.5e9,
    });
    expect(lora.trained).toEqual({ rank: 16 });
    expect(least.bytes).toBeLessThan(changed.bytes + 1);
  });

  it('and says what would fit where nothing does', () => {
    expect(() => plan({ trained: 'all', memory: 1e9 })).toThrow(
      expect.objectContaining({
        code: 'does-not-fit',
        message: expect.stringMatching(
          /takes 1\.\d+ GB of GPU memory, of 1\.00 GB.*Less would be: changed with 1 window .* MB; lora:16 with 1 window/,
        ),
      }),
    );
    expect(() => plan({ memory: 1e6 })).toThrow(/Healing takes/);
    expect(lessMemoryText(large, child, healingText, { tokens: 60_000 }, plan({}))).toMatch(
      /all with 1 window of 24 at once .*; changed .*; lora:16/,
    );
  });

  it('as the trainer counts it', () => {
    const { rows, length, accumulate, trained, lowest, bytes } = plan({ mix: 0.5, hidden: 1 });
    const teacher = { spec: large, mix: 0.5, hidden: 1 };
    expect(bytes).toBe(trainingBytes(child, { rows, length, accumulate, trained, lowest, teacher }).total);
  });

  it('and steps by the tokens of one, the rate by the width', () => {
    expect(plan({ tokens: 3000 }).steps).toBeGreaterThan(25);
    expect(plan({ stepTokens: 240 })).toMatchObject({ rows: 10, accumulate: 1, steps: 240 });
    expect(learningRateFor(large)).toBe(2e-4);
    expect(learningRateFor({ hiddenSize: 96 })).toBe(1.2e-3);
    expect(learningRateFor({ hiddenSize: 32 })).toBe(2e-3);
  });
});

describe('healing is refused before anything is measured', () => {
  it('for a text that it would pass over more than ten times', () => {
    const tokens = 120 * (LENGTH + 1);
    expect(() => checkHealing(parent, healingText, { tokens: 10 * tokens })).not.toThrow();
    expect(() => checkHealing(parent, healingText, { tokens: 10 * tokens + 1 })).toThrow(
      expect.objectContaining({
        code: 'bad-argument',
        message: expect.stringMatching(
          /pass 11 times over the 3000 there are; at most 10, which takes 3001.*longer text/,
        ),
      }),
    );
  });

  it('for models that the trainer lacks parts of, and for those too large for it', () => {
    const scaled = specOf({ ...parentJson, model_type: 'granite', residual_multiplier: 0.2 });
    expect(() => checkHealing(scaled, healingText, { tokens: 1 })).toThrow(
      expect.objectContaining({ code: 'unsupported', message: expect.stringMatching(/no factors beside/) }),
    );
    const wide = { ...healingText, healing: mixtureOf([Array.from({ length: 600 }, () => 1)]) };
    expect(() => checkHealing(parent, wide, { tokens: 1 })).toThrow(/at most 512 tokens, not 599/);
    expect(() => checkHealing(large, healingText, { tokens: 1, memory: 1e8 })).toThrow(
      expect.objectContaining({ code: 'does-not-fit' }),
    );
  });
});

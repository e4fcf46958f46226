// What published configs make, against transformers (scripts/make-config-fixtures.py), and what docs/models.md says of them.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type PublishedConfig, publishedSection, readPublished } from '../../scripts/published-configs.ts';
import { ShishuError } from '../../src/errors.ts';
import { inverseFrequencies } from '../../src/model/rope.ts';
import {
  attentionOf,
  kvElements,
  type ModelSpec,
  ownTensors,
  parameterCount,
  type TensorSpec,
} from '../../src/model/spec.ts';

const read = (file: string): string => readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8');
const models = JSON.parse(read('test/fixtures/published-configs.json')) as PublishedConfig[];
type Judged = PublishedConfig & Required<Pick<PublishedConfig, 'judged'>>;
const judged = models.filter((model): model is Judged => model.judged !== undefined);

/** As a checkpoint stores it: those that are stored as one are one. */
const stored = ({ name, shape, within }: TensorSpec): string =>
  within ? `${within.name} ${[within.rows, ...shape.slice(1)].join('x')}` : `${name} ${shape.join('x')}`;

function specOfPublished(model: PublishedConfig): ModelSpec {
  const spec = readPublished(model);
  if (spec instanceof ShishuError) throw spec;
  return spec;
}

test('there are at least twenty that load, most of them copies', () => {
  expect(judged.length).toBeGreaterThanOrEqual(20);
  expect(judged.filter(({ source }) => source === 'copy').length).toBeGreaterThanOrEqual(20);
});

test.each(judged.map((model) => [model.repo, model] as const))(
  '%s is what transformers makes',
  (_, model) => {
    const spec = specOfPublished(model);
    const { parameters, tensors, kv, windows, ropes } = model.judged;
    expect(parameterCount(spec)).toBe(parameters);
    const names = [...new Set(ownTensors(spec).map(stored))].sort();
    expect(createHash('sha256').update(names.join('\n')).digest('hex')).toBe(tensors);
    const mixers = [...attentionOf(spec).values()];
    expect(mixers.reduce((sum, mixer) => sum + 2 * kvElements(mixer), 0)).toBe(kv);
    expect(mixers.flatMap(({ window }) => window ?? [])).toEqual(windows);
    const ways = new Map(
      mixers.flatMap((mixer) => {
        if (!mixer.rope) return [];
        const sum = inverseFrequencies(mixer, 1024).reduce((a, b) => a + b, 0);
        return [[sum.toFixed(6), [sum, mixer.rope.amplitude ?? 1] as const]];
      }),
    );
    const found = [...ways.values()].sort(([a], [b]) => a - b);
    expect(found).toHaveLength(ropes.length);
    for (const [i, [sum, amplitude]] of found.entries()) {
      expect(sum / ropes[i]![0]).toBeCloseTo(1, 6);
      expect(amplitude).toBeCloseTo(ropes[i]![1], 6);
    }
  },
);

test.each([
  ['google/gemma-2-2b-it', 'model type "gemma2"'],
  ['google/gemma-3-4b-it', 'model type "gemma3"'],
  ['ibm-granite/granite-4.0-h-350m', 'layer type "mamba"'],
  ['Qwen/Qwen3-30B-A3B', 'model type "qwen3_moe"'],
  ['deepseek-ai/DeepSeek-V3', 'model type "deepseek_v3"'],
])('%s is refused by name', (repo, named) => {
  const refused = readPublished(models.find((model) => model.repo === repo)!);
  expect(refused).toMatchObject({ code: 'unsupported', message: expect.stringContaining(named) });
});

test('each model is either judged or refused, and docs/models.md tells of it', () => {
  for (const model of models)
    expect([model.repo, readPublished(model) instanceof ShishuError]).toEqual([model.repo, !model.judged]);
  // node scripts/make-configs-doc.mjs writes it.
  expect(read('docs/models.md')).toContain(publishedSection(models));
});

// Each family's spec, run by the reference forward, against transformers.
import { expect, test } from 'vitest';
import { FETCHED, fetchSpecs } from '../../src/families/fetch.ts';
import { FAMILIES, specOf, specsOf } from '../../src/families/index.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { bytesToF32 } from '../../src/formats/float.ts';
import { planOf, tensorsOf } from '../../src/model/spec.ts';
import { referenceLogits } from '../reference/forward.ts';
import { childFixture } from '../support/child-fixtures.ts';
import { difference, FAMILY_FIXTURES, familyFixture } from '../support/family-fixtures.ts';
import { memorySource } from '../support/memory-source.ts';

test.each(FAMILY_FIXTURES)('%s: logits are those of transformers', async (name) => {
  const { files, prompt, logits, skipped, context } = await familyFixture(name);
  const spec = specOf(JSON.parse(files['config.json'] as string));
  const checkpoint = await openCheckpoint(memorySource(files), tensorsOf(spec));
  const tensors = new Map(
    await Promise.all(
      [...checkpoint.tensors].map(
        async ([tensor, { shape, dtype }]) =>
          [tensor, { shape, data: bytesToF32(await checkpoint.read(tensor), dtype) }] as const,
      ),
    ),
  );
  const plan = planOf(spec);
  expect(difference(referenceLogits(spec, tensors, prompt, plan, context), logits)).toBeLessThan(1e-4);
  const without = plan.map((block, layer) =>
    layer === skipped.layer ? { ...block, kind: 'mlp' as const } : block,
  );
  const found = referenceLogits(spec, tensors, prompt, without, context);
  expect(difference(found.subarray(-skipped.logits.length), skipped.logits)).toBeLessThan(1e-4);
});

test('each family is fetched by its model types, and what none reads is refused alike', async () => {
  const types = FAMILIES.flatMap(({ modelTypes }) => modelTypes);
  expect(Object.keys(FETCHED).sort()).toEqual([...types].sort());
  // That of children is made with their parent's.
  for (const family of FAMILIES)
    for (const type of family.modelTypes)
      if (type !== 'shishu') expect(await FETCHED[type]!({})).toBe(family);
  const { 'config.json': child } = (await childFixture('gemma3')).files;
  expect(await fetchSpecs(JSON.parse(child))).toEqual(specsOf(JSON.parse(child)));
  const own = { ...JSON.parse(child), parent_model_type: 'shishu' };
  const odd = { ...own, parent_model_type: ['llama'] };
  for (const wrong of [
    own,
    odd,
    7,
    {},
    { model_type: 5 },
    { model_type: 'mamba' },
    { model_type: 'constructor' },
  ]) {
    let said: unknown;
    try {
      specsOf(wrong);
    } catch (error) {
      said = error;
    }
    await expect(fetchSpecs(wrong)).rejects.toEqual(said);
  }
});

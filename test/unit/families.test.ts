// Each family's spec, run by the reference forward, against transformers.
import { expect, test } from 'vitest';
import { specOf } from '../../src/families/index.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { bytesToF32 } from '../../src/formats/float.ts';
import { planOf, tensorsOf } from '../../src/model/spec.ts';
import { referenceLogits } from '../reference/forward.ts';
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

// What takes a kernel's place where it fails: by its name and text, until nothing is left.
import { expect, test } from 'vitest';
import { remedyFor } from '../../src/engine/remedy.ts';
import { leftOutText } from '../../src/engine/rescue.ts';
import type { ShaderSpec } from '../../src/gpu/kernel.ts';
import { KERNELS } from '../../src/kernels/all.ts';
import { CHOICE_OF, FALLBACKS } from '../../src/kernels/fallbacks.ts';
import { defaultTuning, PLAIN_TUNING, type Tuning } from '../../src/kernels/tuning.ts';
import { shadersOf } from '../support/asked-shaders.ts';
import { adapterOf, paperGpu } from '../support/paper-gpu.ts';
import { TINY_MODEL_NAMES } from '../support/tiny-models.ts';

const gpu = paperGpu(adapterOf('gpu', true, { min: 32, max: 32 }));
const tuning = defaultTuning(gpu);
const none = new Set<string>();

/** A kernel's launch, as far as its text goes. */
function shaderOf(name: string, imports: Record<string, string> = {}): ShaderSpec {
  const kernel = KERNELS.find((kernel) => kernel.name === name)!;
  return { kernel: { ...kernel, bindings: () => [] }, imports, constants: {} };
}

test('every kernel with variants is one that there is', () => {
  const names = KERNELS.map(({ name }) => name);
  for (const [name, choice] of Object.entries(CHOICE_OF)) {
    expect(names).toContain(name);
    expect(FALLBACKS[choice].length).toBeGreaterThan(1);
    expect(tuning).toHaveProperty(choice);
  }
});

test('what GPUs run otherwise than software adapters has another to take its place', () => {
  const { split } = tuning;
  /** Texts by kernel. */
  const textsWith = (tuning: Tuning): Map<string, Set<string>> => {
    const texts = new Map<string, Set<string>>();
    for (const name of TINY_MODEL_NAMES)
      for (const { kernel, imports, constants } of shadersOf(gpu, tuning, name, 'f32', 'f16'))
        texts.set(
          kernel.name,
          (texts.get(kernel.name) ?? new Set()).add(JSON.stringify([imports, constants])),
        );
    return texts;
  };
  const plain = textsWith({ ...PLAIN_TUNING, split });
  const own = [...textsWith(tuning)].flatMap(([name, texts]) =>
    [...texts].every((text) => plain.get(name)?.has(text)) ? [] : [name],
  );
  expect(Object.keys(CHOICE_OF)).toEqual(expect.arrayContaining(own));
});

test('a feature that its text asks for goes first, then one variant after the other, until none is left', () => {
  const subgroups = shaderOf('norm', { REDUCE: 'reduce_subgroup' });
  expect(remedyFor({ gpu, tuning }, subgroups, none)).toEqual({ variant: 'subgroups', without: 'subgroups' });
  const without = { ...gpu, features: { ...gpu.features, subgroups: false } };
  const shader = shaderOf('norm', { REDUCE: 'reduce_shared' });
  const gone = new Set<string>();
  let at: Tuning = tuning;
  for (let left: number = FALLBACKS.matvec.length; ; left--) {
    const remedy = remedyFor({ gpu: without, tuning: at }, shader, gone);
    if (left === 1) {
      expect(remedy).toBeUndefined();
      break;
    }
    expect(remedy!.variant).toBe(`matvec ${JSON.stringify(at.matvec)}`);
    gone.add(remedy!.variant);
    at = { ...at, ...(remedy as { tuning: Partial<Tuning> }).tuning };
  }
  expect(at).toEqual({ ...tuning, matvec: { workgroup: 16, lanes: 1 } });
});

test('a variant that was chosen and fails gives way to the usual one', () => {
  const direct: Tuning = { ...tuning, wideAttention: 'direct' };
  const shader = shaderOf('attention_tiled', { TILE: 'gpu/attention_tile_f32', KV_READ: 'kv_read_f32' });
  expect(remedyFor({ gpu, tuning: direct }, shader, none)).toMatchObject({
    tuning: { wideAttention: 'tiled' },
  });
  expect(remedyFor({ gpu, tuning: direct }, shader, new Set(['wideAttention tiled']))).toBeUndefined();
});

test('a kernel without variants has no remedy', () => {
  expect(remedyFor({ gpu, tuning }, shaderOf('pool'), none)).toBeUndefined();
});

test('what is told names each kernel once, by what is wrong with it', () => {
  const why = 'computes wrongly in' as const;
  const text = leftOutText({ name: 'X' }, [
    { kernel: 'a', variant: '1', why },
    { kernel: 'a', variant: '2', why },
    { kernel: 'b', variant: '1', why },
    { kernel: 'c', variant: '1', why: 'does not compile' },
  ]);
  expect(text).toBe('The GPU X computes wrongly in a, b, and does not compile c: slower kernels are used.');
});

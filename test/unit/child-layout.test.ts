// The layout `shishu`: children of any parent, any of whose blocks have no attention.
import { describe, expect, test } from 'vitest';
import { childTensors, healedTensors } from '../../src/convert/child.ts';
import { type ChildShape, childConfig } from '../../src/convert/child-config.ts';
import { specOf } from '../../src/families/index.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { bytesToF32 } from '../../src/formats/float.ts';
import { encodeSafetensors } from '../../src/formats/safetensors.ts';
import { planOf, tensorsOf } from '../../src/model/spec.ts';
import { readWeights } from '../../src/train/weights.ts';
import { type ReferenceTensor, referenceLogits } from '../reference/forward.ts';
import { CHILD_FIXTURES, childFixture } from '../support/child-fixtures.ts';
import { difference, familyFixture } from '../support/family-fixtures.ts';
import { memorySource } from '../support/memory-source.ts';
import { tinyModel } from '../support/tiny-models.ts';

async function modelOf(files: Record<string, string | Uint8Array<ArrayBuffer>>) {
  const configJson = JSON.parse(files['config.json'] as string);
  const spec = specOf(configJson);
  const checkpoint = await openCheckpoint(memorySource(files), tensorsOf(spec));
  return { configJson, spec, checkpoint };
}

/** What the reference reads. */
const tensorsFrom = async ({ spec, checkpoint }: Awaited<ReturnType<typeof modelOf>>) =>
  new Map<string, ReferenceTensor>(Object.entries(await readWeights(checkpoint, spec)));

describe.each(CHILD_FIXTURES)('%s', (name) => {
  test('has the logits that transformers finds with modeling_shishu.py', async () => {
    const { files, prompt, logits } = await childFixture(name);
    const model = await modelOf(files);
    const kinds = JSON.parse(files['config.json']).layer_types.map((type: string) =>
      ['linear', 'mlp'].includes(type) ? type : 'attention',
    );
    expect(planOf(model.spec).map(({ kind }) => kind)).toEqual(kinds);
    const found = referenceLogits(model.spec, await tensorsFrom(model), prompt);
    expect(difference(found, logits)).toBeLessThan(1e-5);
  });
});

const shape: ChildShape = { layers: [1], pairs: [], linear: false };
const parents = ['gemma3', 'granite', 'mistral-window', 'olmo2', 'phi3', 'qwen3', 'smollm3', 'yarn'];

describe.each(parents)('a child of %s', (name) => {
  test('keeps the config and the bytes of its parent, and is the parent without that attention', async () => {
    const { files, prompt, skipped } = await familyFixture(name);
    const parent = await modelOf(files);
    const config = childConfig(parent.configJson, parent.spec, shape);
    expect(config).toMatchObject({ model_type: 'shishu', parent_model_type: parent.configJson.model_type });
    const child = specOf(config);
    expect(child.blocks[0]).toEqual(parent.spec.blocks[0]);
    const made = childTensors({ ...parent, dtype: 'BF16' }, child, new Map(), 'keep-first');
    for (const { name, shape, read } of made) {
      const { dtype } = parent.checkpoint.tensors.get(name) ?? { dtype: 'BF16' };
      expect(dtype).toBe('BF16');
      expect((await read()).length).toBe(2 * shape.reduce((a, b) => a * b, 1));
    }
    // As it is written, it is read again.
    const written = await writtenModel(config, made);
    const found = referenceLogits(written.spec, await tensorsFrom(written), prompt);
    expect(difference(found.subarray(-skipped.logits.length), skipped.logits)).toBeLessThan(1e-5);
    const weights = await readWeights(written.checkpoint, written.spec);
    const again = await writtenModel(config, healedTensors(written.spec, weights, 'BF16'));
    expect(await tensorsFrom(again)).toEqual(await tensorsFrom(written));
  });
});

async function writtenModel(config: object, tensors: ReturnType<typeof childTensors>) {
  const data = await Promise.all(
    tensors.map(async ({ read, ...tensor }) => ({
      ...tensor,
      data: bytesToF32(new Uint8Array(await read()), tensor.dtype as 'BF16'),
    })),
  );
  return modelOf({
    'config.json': JSON.stringify(config),
    'model.safetensors': new Uint8Array(encodeSafetensors(data)),
  });
}

describe('weights that are not those of the config are refused by name', () => {
  /** A child of a tiny Qwen3 in memory, its tensors changed. */
  async function load(
    change: (tensors: Map<string, { shape: readonly number[]; data: Float32Array }>) => void,
  ) {
    const { configJson, tensors } = tinyModel('scattered', 1);
    const changed = new Map(tensors);
    change(changed);
    const all = [...changed].map(([name, { shape, data }]) => ({ name, dtype: 'F32' as const, shape, data }));
    return modelOf({
      'config.json': JSON.stringify(configJson),
      'model.safetensors': new Uint8Array(encodeSafetensors(all)),
    });
  }
  const W = 'model.layers.2.linear_attn.weight';

  test('as they are, they are read', async () => {
    expect((await load(() => {})).checkpoint.tensors.has(W)).toBe(true);
  });

  test.each<[string, RegExp, Parameters<typeof load>[0]]>([
    [
      'a map that is missing',
      /lacks .*model\.layers\.2\.linear_attn\.weight/,
      (tensors) => tensors.delete(W),
    ],
    [
      'a constant that is missing',
      /lacks .*model\.layers\.5\.linear_attn\.bias/,
      (tensors) => tensors.delete('model.layers.5.linear_attn.bias'),
    ],
    [
      'a map of another shape',
      /model\.layers\.2\.linear_attn\.weight.*44/,
      (tensors) => tensors.set(W, { shape: [44, 88], data: new Float32Array(44 * 88) }),
    ],
    [
      'factors where the map is whole',
      /model\.layers\.2\.linear_attn\.(up|down)\.weight/,
      (tensors) => {
        tensors.set('model.layers.2.linear_attn.down.weight', {
          shape: [4, 44],
          data: new Float32Array(176),
        });
        tensors.set('model.layers.2.linear_attn.up.weight', { shape: [44, 4], data: new Float32Array(176) });
      },
    ],
    [
      'attention in a block that has none',
      /model\.layers\.0\.self_attn\.q_proj\.weight/,
      (tensors) =>
        tensors.set('model.layers.0.self_attn.q_proj.weight', {
          shape: [72, 44],
          data: new Float32Array(72 * 44),
        }),
    ],
  ])('%s', async (_, message, change) => {
    await expect(load(change)).rejects.toMatchObject({
      code: 'bad-checkpoint',
      message: expect.stringMatching(message),
    });
  });
});

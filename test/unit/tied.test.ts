// A model whose head is its embedding may store either, or both.
import { expect, it } from 'vitest';
import { specOf } from '../../src/families/index.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { encodeSafetensors, type NamedTensor } from '../../src/formats/safetensors.ts';
import { Ledger } from '../../src/gpu/buffer.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { fillFromCheckpoint } from '../../src/model/load.ts';
import { parameterCount, tensorsOf, withoutHead } from '../../src/model/spec.ts';
import { allocateWeights } from '../../src/model/weights.ts';
import { memorySource } from '../support/memory-source.ts';
import { tinyModel } from '../support/tiny-models.ts';

Object.assign(globalThis, { GPUBufferUsage: {} });
const EMBED = 'model.embed_tokens.weight';
const HEAD = 'lm_head.weight';
const tiny = tinyModel('llama', 3);
const stored = [...tiny.tensors].map(
  ([name, { shape, data }]): NamedTensor => ({ name, dtype: 'F32', shape, data }),
);

/** Loads these tensors; the bytes that were written, by buffer. */
async function load(tensors: readonly NamedTensor[], spec = tiny.spec) {
  const written: Record<string, Uint8Array> = {};
  const device = {
    limits: { maxBufferSize: Number.POSITIVE_INFINITY },
    createBuffer: ({ size, label }: GPUBufferDescriptor) => ({ size, label }),
    pushErrorScope() {},
    popErrorScope: async () => null,
    queue: {
      writeBuffer({ label }: GPUBuffer, to: number, data: ArrayBuffer, at: number, size: number) {
        written[`${label} ${to}`] = new Uint8Array(data.slice(at, at + size));
      },
    },
  };
  const gpu = { device, limits: { binding: 2 ** 30, workgroups: 65535 } } as unknown as Gpu;
  const specs = tensorsOf(spec);
  const checkpoint = await openCheckpoint(
    memorySource({ 'model.safetensors': encodeSafetensors(tensors) }),
    specs,
  );
  const { fill } = allocateWeights(gpu, new Ledger(gpu), spec, 'f32');
  await fillFromCheckpoint(gpu, fill, checkpoint, specs);
  return { written, bytes: checkpoint.bytes };
}

const renamed = stored.map((tensor) => (tensor.name === EMBED ? { ...tensor, name: HEAD } : tensor));
const embed = stored.find(({ name }) => name === EMBED)!;

it.each(['llama', 'mobilellm'])(
  'a tied %s that stores only its head is the same model',
  async (model_type) => {
    const json = { ...tiny.configJson, model_type, tie_word_embeddings: model_type === 'llama' };
    const spec = specOf({ ...json, share_embedding: model_type === 'mobilellm' });
    expect(parameterCount(spec)).toBe(parameterCount(tiny.spec));
    expect(await load(renamed, spec)).toEqual(await load(stored));
  },
);

it('a stored copy of the embedding is taken as one', async () => {
  const { written } = await load([...stored, { ...embed, name: HEAD }]);
  expect(written).toEqual((await load(stored)).written);
});

it('a stored head that differs from the embedding is refused, not dropped', async () => {
  const data = (embed.data as Float32Array).slice();
  data[data.length - 1]! += 1;
  await expect(load([...stored, { ...embed, name: HEAD, data }])).rejects.toMatchObject({
    code: 'bad-checkpoint',
    details: { tensor: HEAD, copyOf: EMBED },
    message: expect.stringContaining('tie_word_embeddings'),
  });
});

it('a model that is not tied needs both', async () => {
  const spec = specOf({ ...tiny.configJson, tie_word_embeddings: false });
  await expect(load(stored, spec)).rejects.toMatchObject({ details: { tensor: HEAD } });
  await expect(load(renamed, spec)).rejects.toMatchObject({ details: { tensor: EMBED } });
});

it('only names without their first part tell of a model without a head', () => {
  const spec = specOf({ ...tiny.configJson, tie_word_embeddings: false });
  const headless = { ...spec, tied: true, headless: true };
  const names = (...of: string[]) => new Set(of);
  expect(withoutHead([spec], names('embed_tokens.weight'))).toEqual([spec, headless]);
  expect(withoutHead([spec], names(EMBED))).toEqual([spec]);
  expect(withoutHead([spec], names(HEAD))).toEqual([spec]);
  expect(withoutHead([tiny.spec], names('embed_tokens.weight'))).toEqual([tiny.spec]);
});

it('a model that was saved without its head is the same, under shorter names', async () => {
  const bare = stored.map((tensor) => ({ ...tensor, name: tensor.name.replace(/^model\./, '') }));
  expect(await load(bare)).toEqual(await load(stored));
  const [, ...others] = bare;
  await expect(load(others)).rejects.toMatchObject({
    code: 'bad-checkpoint',
    message: expect.stringContaining(EMBED),
  });
});

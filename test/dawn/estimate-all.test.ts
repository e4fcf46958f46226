// What a model will take, foretold before a byte of its weights is read, against what it takes: of every family, every type of
// stored tensors and every format of weights. The cases follow the registries and the fixtures.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { loadModel } from '../../src/engine/engine.ts';
import { estimate } from '../../src/engine/estimate.ts';
import type { LoadOptions } from '../../src/engine/types.ts';
import { FAMILIES } from '../../src/families/index.ts';
import { readGguf } from '../../src/formats/gguf/header.ts';
import { type GgufType, TYPES } from '../../src/formats/gguf/types.ts';
import { openSource } from '../../src/formats/open-source.ts';
import type { RawSource } from '../../src/formats/raw-source.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { DTYPES } from '../../src/quant/index.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { zeroGguf, zeroSource } from '../support/gguf-model.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { memorySource, TINY_MODEL_NAMES, tinyFiles, tinyModel } from '../support/tiny-models.ts';

interface Case {
  name: string;
  source: RawSource;
  modelType?: string;
  context: number;
  /** Bytes of weights that may be read: of a small file, all of it comes at once with the header. */
  most: number;
}

const FIXTURES = join(import.meta.dirname, '../fixtures');
const read = (...path: string[]): Uint8Array<ArrayBuffer> =>
  new Uint8Array(readFileSync(join(FIXTURES, ...path)));
const json = (bytes: string | Uint8Array): { model_type: string; context: number } =>
  JSON.parse(typeof bytes === 'string' ? bytes : new TextDecoder().decode(bytes));
/** What is read of a GGUF file before its header has told where the weights begin. */
const GGUF_HEAD = 1 << 20;

const families = readdirSync(join(FIXTURES, 'families')).map((name): Case => {
  const config = read('families', name, 'config.json');
  const model = read('families', name, 'model.safetensors');
  const { context } = json(read('families', name, 'expected.json'));
  const source = memorySource({ ...charTokenizerFiles(), 'config.json': config, 'model.safetensors': model });
  return { name, source, modelType: json(config).model_type, context, most: 0 };
});
const tiny = TINY_MODEL_NAMES.map((name): Case => {
  const files = tinyFiles(tinyModel(name, 7), 'BF16', 2);
  const source = memorySource({ ...files, ...charTokenizerFiles() });
  return { name, source, modelType: json(files['config.json']!).model_type, context: 48, most: 0 };
});
const published = readdirSync(FIXTURES, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.gguf'))
  .map((name): Case => {
    const bytes = read(name);
    const file = name.split('/').at(-1)!;
    const source: RawSource = {
      list: () => [file],
      read: (asked, start, end) => (asked === file ? bytes.slice(start, end) : undefined),
      size: (asked) => (asked === file ? bytes.length : null),
    };
    return { name, source, context: 48, most: GGUF_HEAD };
  });
const made = (Object.keys(TYPES) as GgufType[]).map(
  (type): Case => ({ name: `GGUF in ${type}`, source: zeroSource(zeroGguf(type)), context: 48, most: 0 }),
);
const split: Case = {
  name: 'GGUF in 3 files',
  source: zeroSource(zeroGguf('Q8_0', 3)),
  context: 48,
  most: 0,
};
const CASES = [...families, ...tiny, ...published, ...made, split];

/** Every format of weights and of the KV cache, with batches, contexts and profiles. */
const options = (context: number): LoadOptions[] =>
  DTYPES.flatMap((dtype) => (['f32', 'f16'] as const).map((kv) => ({ dtype, kv }))).map((formats, i) => ({
    ...formats,
    batch: 1 + (i % 3),
    contextLength: [context, Math.ceil(context / 2), 7][i % 3]!,
    profile: i % 2 ? 'software' : 'gpu',
  }));

/** First byte of weights of a file. */
async function dataStart(source: RawSource, file: string): Promise<number> {
  if (file.endsWith('.gguf')) {
    const { tensors } = await readGguf(openSource({ ...source, list: undefined as never }), file);
    return Math.min(
      ...[...tensors.values()].filter((tensor) => tensor.file === file).map(({ start }) => start),
    );
  }
  const length = (await source.read(file, 0, 8))!;
  return 8 + Number(new DataView(length.buffer, length.byteOffset).getBigUint64(0, true));
}

/** The storage, with what was read of it. */
function watched(source: RawSource): { source: RawSource; weightsRead: () => Promise<number> } {
  const reads: [file: string, start: number, end: number][] = [];
  return {
    source: {
      ...source,
      async read(file, start, end, signal) {
        const bytes = await source.read(file, start, end, signal);
        if (bytes) reads.push([file, start ?? 0, (start ?? 0) + bytes.length]);
        return bytes;
      },
    },
    async weightsRead() {
      let sum = 0;
      for (const [file, start, end] of reads.slice())
        if (/[.](safetensors|gguf)$/.test(file))
          sum += Math.max(0, end - Math.max(start, await dataStart(source, file)));
      return sum;
    },
  };
}

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

test('the fixtures have every family', () => {
  const types = new Set(CASES.map(({ modelType }) => modelType));
  for (const { modelTypes } of FAMILIES)
    expect(
      modelTypes.some((type) => types.has(type)),
      modelTypes.join(),
    ).toBe(true);
});

describe.each(CASES.map((each, index) => ({ ...each, index })))(
  '$name',
  ({ source, context, most, index }) => {
    const all = options(context);
    const chosen = inject('full') ? [{ contextLength: context }, ...all] : [all[index % all.length]!];

    test('every format is foretold from config and headers', async () => {
      for (const asked of [{}, ...all]) {
        const { source: own, weightsRead } = watched(source);
        const { bytes, storedBytes, fits } = await estimate(own, { device: gpu.device, ...asked });
        expect(fits).toBe(true);
        expect(bytes.weights).toBeGreaterThan(0);
        expect(storedBytes).toBeGreaterThan(0);
        expect(await weightsRead()).toBeLessThanOrEqual(most);
      }
    });

    test.each(chosen)('%o takes what was foretold', async (asked) => {
      const how = { device: gpu.device, ...asked };
      const { bytes, dtype, kv, contextLength } = await estimate(source, how);
      const model = await loadModel(source, { ...how, selfTest: false, warn: () => {} });
      const { info } = model;
      await model.dispose();
      expect({ bytes, dtype, kv, contextLength }).toEqual({
        bytes: info.bytes,
        dtype: info.dtype,
        kv: info.kv,
        contextLength: info.contextLength,
      });
    });
  },
);

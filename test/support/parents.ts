import { afterAll, beforeAll } from 'vitest';
import { type OnGpu, type OpenOptions, withOnGpu } from '../../src/convert/on-gpu.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { charTokenizerFiles } from './char-tokenizer.ts';
import { openTestGpu } from './gpu-features.ts';
import { memorySource } from './memory-source.ts';
import { mulberry32 } from './random.ts';
import { type TinyModel, type TinyModelName, tinyFiles, tinyModel } from './tiny-models.ts';

/** A tiny model's folder, with a tokenizer of single characters. */
export const parentFiles = (model: TinyModel) => ({ ...tinyFiles(model), ...charTokenizerFiles() });

/** A text of single characters. */
export function textOf(length: number): string {
  const uniform = mulberry32(5);
  return Array.from({ length }, () => String.fromCharCode(33 + Math.floor(uniform() * 60))).join('');
}

/** Opens a GPU for the tests of a file, and tiny models on it as parents of a conversion. */
export function useParents() {
  let gpu: Gpu;
  beforeAll(async () => {
    gpu = await openTestGpu();
  });
  afterAll(() => gpu.close());
  return {
    gpu: (): Gpu => gpu,
    withParent<T>(
      like: TinyModelName | TinyModel,
      run: (parent: OnGpu, model: TinyModel) => Promise<T>,
      options: OpenOptions = {},
    ): Promise<T> {
      const model = typeof like === 'string' ? tinyModel(like, 7) : like;
      const source = memorySource(parentFiles(model));
      return withOnGpu(source, { device: gpu.device, ...options }, (parent) => run(parent, model));
    },
  };
}

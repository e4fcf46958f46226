import type { EmbeddingFiles } from '../formats/embedding-files.ts';
import type { SamplingDefaults } from '../formats/generation.ts';
import type { Tokenizer } from '../formats/tokenizer.ts';
import type { Gpu } from '../gpu/device.ts';
import type { WeightDtype } from '../kernels/tensor.ts';
import type { Plan } from '../model/spec.ts';
import type { AdapterHost } from './adapters.ts';
import type { TuningSetting } from './kernel-tuning.ts';
import type { ModelInfo, SelfTest } from './types.ts';

/** What `loadModel` puts together. */
export interface ModelParts extends AdapterHost {
  gpu: Gpu;
  tokenizer: Tokenizer;
  /** @throws ShishuError what is wrong with them */
  embeddingFiles(): EmbeddingFiles | undefined;
  /** As loaded: all of the model's attention. */
  plan: Plan;
  eosTokenIds: readonly number[];
  sampling: SamplingDefaults;
  dispatchesPerToken: number;
  selfTest: SelfTest;
  dtype: WeightDtype;
  f32Tensors: readonly string[];
  formats: ModelInfo['formats'];
  tuning: TuningSetting;
  warn: (message: string) => void;
}

/** Frees all that a model has on its GPU. */
export function free({ runner, gpu }: ModelParts): void {
  runner.ledger.releaseAll();
  gpu.close();
}

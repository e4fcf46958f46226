import type { EmbeddingFiles } from '../formats/embedding-files.ts';
import type { SamplingDefaults } from '../formats/generation.ts';
import type { SourceLike } from '../formats/open-source.ts';
import type { Source } from '../formats/source.ts';
import type { Tokenizer } from '../formats/tokenizer.ts';
import type { Gpu } from '../gpu/device.ts';
import type { WeightDtype } from '../kernels/tensor.ts';
import type { Plan } from '../model/spec.ts';
import type { TuningSetting } from './kernel-tuning.ts';
import type { Runner } from './runner.ts';
import type { ModelInfo, SelfTest } from './types.ts';

/** What adapters need of the model that they are for. */
export interface AdapterHost {
  runner: Runner;
  /** Opens a folder as the model's was opened. */
  open: (like: SourceLike) => Source;
  memoryLimit: number | undefined;
  selfTest: Pick<SelfTest, 'kernels'>;
}

/** Runs what changes the model, when no step is under way. */
export type Alone = (run: (plan: Plan) => Promise<void>, signal: AbortSignal | undefined) => Promise<void>;

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

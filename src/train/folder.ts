import type { Checkpoint } from '../formats/checkpoint.ts';
import { bytesToF32 } from '../formats/float.ts';
import { encodeSafetensors, type NamedTensor } from '../formats/safetensors.ts';
import type { ModelConfig } from '../model/config.ts';
import { ownSpecs } from '../model/plan.ts';
import type { Bpe } from './bpe.ts';
import type { HostWeights } from './host-weights.ts';

export interface ModelFolder {
  /** `config.json` as it was given. */
  configJson: object;
  config: ModelConfig;
  weights: HostWeights;
  bpe: Bpe;
  /** `training.json` */
  training: object;
}

/** A checkpoint's tensors as float32, each shared one once. */
export async function hostWeights(checkpoint: Checkpoint, config: ModelConfig): Promise<HostWeights> {
  const weights: HostWeights = {};
  for (const { name, shape } of ownSpecs(config)) {
    const data = bytesToF32(await checkpoint.read(name), checkpoint.tensors.get(name)!.dtype);
    weights[name] = { shape, data };
  }
  return weights;
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

/** The files of a folder that the engine loads, by name: f16 safetensors, config, tokenizer; and `training.json`. */
export function modelFiles(model: ModelFolder): Record<string, string | Uint8Array<ArrayBuffer>> {
  const { configJson, config, weights, bpe, training } = model;
  const tensors = ownSpecs(config).map(({ name, shape }): NamedTensor => {
    return { name, dtype: 'F16', shape, data: weights[name]!.data };
  });
  const [end] = config.eosTokenIds;
  return {
    'config.json': json(configJson),
    'tokenizer.json': `${JSON.stringify(bpe.tokenizerJson())}\n`,
    'tokenizer_config.json': json(bpe.configJson(config.maxPositions)),
    'generation_config.json': json({
      bos_token_id: config.bosTokenId,
      eos_token_id: end,
      do_sample: false,
    }),
    'training.json': json(training),
    'model.safetensors': encodeSafetensors(tensors, { format: 'pt' }),
  };
}

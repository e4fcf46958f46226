import { specOf } from '../families/index.ts';
import { encodeSafetensors, type NamedTensor } from '../formats/safetensors.ts';
import { ownTensors } from '../model/spec.ts';
import type { Bpe } from './bpe.ts';
import type { CpuWeights } from './weights.ts';

export interface ModelFolder {
  /** `config.json` as it was given. */
  configJson: object;
  weights: CpuWeights;
  bpe: Bpe;
  /** `training.json` */
  training: object;
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

/** The files of a folder that the engine loads, by name: f16 safetensors, config, tokenizer; and `training.json`. */
export function modelFiles(model: ModelFolder): Record<string, string | Uint8Array<ArrayBuffer>> {
  const { configJson, weights, bpe, training } = model;
  const spec = specOf(configJson);
  const tensors = ownTensors(spec).map(({ name, shape }): NamedTensor => {
    return { name, dtype: 'F16', shape, data: weights[name]!.data };
  });
  const [end] = spec.eosTokenIds;
  return {
    'config.json': json(configJson),
    'tokenizer.json': `${JSON.stringify(bpe.tokenizerJson())}\n`,
    'tokenizer_config.json': json(bpe.configJson(spec.maxPositions)),
    'generation_config.json': json({
      bos_token_id: spec.bosTokenId,
      eos_token_id: end,
      do_sample: false,
    }),
    'training.json': json(training),
    'model.safetensors': encodeSafetensors(tensors, { format: 'pt' }),
  };
}

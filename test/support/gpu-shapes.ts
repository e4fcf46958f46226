// Models whose sizes meet the edges of the kernels for GPUs: tiles of 64 by 64, chunks of 256 rows, splits of 256 positions,
// heads that fill a tile, that do not, and that are too large for one.
import { packerOf } from '../../src/model/pack.ts';
import type { ChosenDtype } from '../../src/quant/index.ts';
import { dequantize, quantize, readQ4, roundToF16 } from '../reference/quantize.ts';
import { charTokenizerFiles } from './char-tokenizer.ts';
import { memorySource } from './memory-source.ts';
import { randomModel, type TinyModel, type TinyTensor, tinyFiles } from './tiny-models.ts';

/** Positions of a model: more than a chunk and a split. */
export const CONTEXT = 320;

const common = {
  rms_norm_eps: 1e-5,
  max_position_embeddings: CONTEXT,
  hidden_act: 'silu',
  bos_token_id: 1,
  eos_token_id: 0,
  rope_theta: 10000,
};

const SHAPES = {
  /** Three query heads to a KV head, MLP-only blocks of another width, two of which share weights; norms of q and k. */
  'heads of 64': {
    ...common,
    model_type: 'shishu-llama',
    hidden_size: 100,
    intermediate_size: 140,
    intermediate_size_mlp: 180,
    num_decoder_front: 2,
    num_mlp: 3,
    num_mlp_shared: 1,
    num_decoder_end: 1,
    num_attention_heads: 6,
    num_key_value_heads: 2,
    head_dim: 64,
    vocab_size: 1003,
    use_qk_norm: true,
    tie_word_embeddings: true,
  },
  /** A KV head for each query head, biases of q, k and v. */
  'heads of 80': {
    ...common,
    model_type: 'qwen2',
    hidden_size: 160,
    intermediate_size: 92,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 2,
    vocab_size: 517,
    tie_word_embeddings: true,
  },
  /** Five query heads to a KV head, weighted norms of q and k, an own head. */
  'heads of 128': {
    ...common,
    model_type: 'qwen3',
    hidden_size: 60,
    intermediate_size: 68,
    num_hidden_layers: 2,
    num_attention_heads: 5,
    num_key_value_heads: 1,
    head_dim: 128,
    vocab_size: 261,
    tie_word_embeddings: false,
  },
  /** Every bias, an own head. */
  'heads of 160': {
    ...common,
    model_type: 'llama',
    hidden_size: 84,
    intermediate_size: 132,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 160,
    vocab_size: 131,
    attention_bias: true,
    mlp_bias: true,
    tie_word_embeddings: false,
  },
  /** The largest head: a thread of the cooperative attention for each four dimensions. */
  'heads of 256': {
    ...common,
    model_type: 'llama',
    hidden_size: 36,
    intermediate_size: 44,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 256,
    vocab_size: 131,
    tie_word_embeddings: true,
  },
} satisfies Record<string, Record<string, unknown>>;

export type GpuShape = keyof typeof SHAPES;

/** A model of a shape, with random weights. */
export const shapedModel = (shape: GpuShape): TinyModel => randomModel(structuredClone(SHAPES[shape]), 13);

/** Its folder. */
export const shapedSource = (model: TinyModel) =>
  memorySource({ ...tinyFiles(model), ...charTokenizerFiles(Math.min(200, model.spec.vocabSize)) });

/** The weights as a dtype keeps them: matrices rounded; embedding and head of q4 are q8. */
export function heldTensors({ tensors }: TinyModel, dtype: ChosenDtype): Map<string, TinyTensor> {
  const held = (name: string, { shape, data }: TinyTensor): Float32Array => {
    if (shape.length < 2 || dtype === 'f32') return data;
    if (dtype === 'f16') return data.map(roundToF16);
    const table = /embed_tokens|lm_head/.test(name);
    const [rows, cols] = shape as [number, number];
    if (table || dtype === 'q8') return dequantize(quantize(data, cols), cols);
    const { codes, scales } = packerOf('q4')(data as Float32Array<ArrayBuffer>, cols, name);
    const values = readQ4(codes as Uint8Array, scales!);
    const padded = values.length / rows;
    return data.map((_, i) => values[Math.floor(i / cols) * padded + (i % cols)]!);
  };
  return new Map([...tensors].map(([name, tensor]) => [name, { ...tensor, data: held(name, tensor) }]));
}

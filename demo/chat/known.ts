import type { RawSource } from '../../src/formats/raw-source.ts';
import type { LoadEstimate } from '../../src/index.ts';
import type { en } from '../text/en.ts';

/** A published model that the page offers, with what its files say, so that listing it needs no network. */
export interface KnownModel {
  id: string;
  parameters: number;
  licence: string;
  /** Bytes of a value as it is stored. */
  stored: 'BF16' | 'F32';
  /** What it is good at: a key of the texts. */
  good: keyof typeof en.good;
  /** Fields of its config.json that its shapes follow from. */
  config: Record<string, unknown>;
}

const llama = { model_type: 'llama', hidden_act: 'silu', rms_norm_eps: 1e-5, tie_word_embeddings: true };
const smol = { ...llama, max_position_embeddings: 8192, rope_theta: 100_000, vocab_size: 49_152 };
const layers = (kinds: Record<string, string>, order: string): string[] =>
  [...order].map((kind) => kinds[kind]!);

export const KNOWN: readonly KnownModel[] = [
  {
    id: 'HuggingFaceTB/SmolLM2-135M-Instruct',
    parameters: 134_515_008,
    licence: 'Apache-2.0',
    stored: 'BF16',
    good: 'smol135',
    config: {
      ...smol,
      hidden_size: 576,
      intermediate_size: 1536,
      num_attention_heads: 9,
      num_hidden_layers: 30,
      num_key_value_heads: 3,
    },
  },
  {
    id: 'HuggingFaceTB/SmolLM2-360M-Instruct',
    parameters: 361_821_120,
    licence: 'Apache-2.0',
    stored: 'BF16',
    good: 'smol360',
    config: {
      ...smol,
      hidden_size: 960,
      intermediate_size: 2560,
      num_attention_heads: 15,
      num_hidden_layers: 32,
      num_key_value_heads: 5,
    },
  },
  {
    id: 'google/gemma-3-270m-it',
    parameters: 268_098_176,
    licence: 'Gemma',
    stored: 'BF16',
    good: 'gemma270',
    config: {
      model_type: 'gemma3_text',
      head_dim: 256,
      hidden_activation: 'gelu_pytorch_tanh',
      hidden_size: 640,
      intermediate_size: 2048,
      layer_types: layers({ s: 'sliding_attention', f: 'full_attention' }, 'sssssfsssssfsssssf'),
      max_position_embeddings: 32_768,
      num_attention_heads: 4,
      num_hidden_layers: 18,
      num_key_value_heads: 1,
      query_pre_attn_scalar: 256,
      rms_norm_eps: 1e-6,
      rope_local_base_freq: 10_000,
      rope_theta: 1_000_000,
      sliding_window: 512,
      vocab_size: 262_144,
    },
  },
  {
    id: 'Qwen/Qwen3-0.6B',
    parameters: 596_049_920,
    licence: 'Apache-2.0',
    stored: 'BF16',
    good: 'qwen06',
    config: {
      model_type: 'qwen3',
      attention_bias: false,
      head_dim: 128,
      hidden_act: 'silu',
      hidden_size: 1024,
      intermediate_size: 3072,
      max_position_embeddings: 40_960,
      num_attention_heads: 16,
      num_hidden_layers: 28,
      num_key_value_heads: 8,
      rms_norm_eps: 1e-6,
      rope_theta: 1_000_000,
      tie_word_embeddings: true,
      vocab_size: 151_936,
    },
  },
  {
    id: 'meta-llama/Llama-3.2-1B-Instruct',
    parameters: 1_235_814_400,
    licence: 'Llama 3.2',
    stored: 'BF16',
    good: 'llama1',
    config: {
      ...llama,
      head_dim: 64,
      hidden_size: 2048,
      intermediate_size: 8192,
      max_position_embeddings: 131_072,
      num_attention_heads: 32,
      num_hidden_layers: 16,
      num_key_value_heads: 8,
      rope_theta: 500_000,
      vocab_size: 128_256,
    },
  },
  {
    id: 'facebook/MobileLLM-R1-140M',
    parameters: 140_248_512,
    licence: 'FAIR NC',
    stored: 'F32',
    good: 'r1140',
    config: {
      model_type: 'llama4_text',
      attn_temperature_tuning: false,
      head_dim: 64,
      hidden_act: 'silu',
      hidden_size: 576,
      intermediate_size: 2048,
      intermediate_size_mlp: 2048,
      layer_types: layers({ c: 'chunked_attention' }, 'c'.repeat(15)),
      attention_chunk_size: 32_768,
      max_position_embeddings: 32_768,
      moe_layers: [],
      no_rope_layers: Array(15).fill(1),
      num_attention_heads: 9,
      num_hidden_layers: 15,
      num_key_value_heads: 3,
      rms_norm_eps: 1e-5,
      rope_theta: 8_000_000,
      tie_word_embeddings: true,
      use_qk_norm: true,
      vocab_size: 128_256,
    },
  },
  {
    id: 'LiquidAI/LFM2-350M',
    parameters: 354_483_968,
    licence: 'LFM Open 1.0',
    stored: 'BF16',
    good: 'lfm350',
    config: {
      model_type: 'lfm2',
      block_auto_adjust_ff_dim: true,
      block_ff_dim: 6656,
      block_ffn_dim_multiplier: 1,
      block_multiple_of: 256,
      conv_L_cache: 3,
      conv_bias: false,
      full_attn_idxs: [2, 5, 8, 10, 12, 14],
      hidden_size: 1024,
      max_position_embeddings: 128_000,
      norm_eps: 1e-5,
      num_attention_heads: 16,
      num_hidden_layers: 16,
      num_key_value_heads: 8,
      rope_theta: 1_000_000,
      vocab_size: 65_536,
    },
  },
];

const BYTES = { BF16: 2, F32: 4 } as const;

/** Bytes of weights to fetch. */
export const storedBytes = ({ parameters, stored }: KnownModel): number => parameters * BYTES[stored];

/** How a known model goes on this device. */
export type Fit = { kind: 'fits' } | { kind: 'smaller'; dtype: string } | { kind: 'not'; reason: string };

/** What `estimate` says of each known model on this device, with nothing fetched; they share one device of the GPU. */
export async function* fitsHere(memoryLimit?: number): AsyncGenerator<[KnownModel, Fit]> {
  const [{ estimate }, { openGpu }] = await Promise.all([
    import('../../src/index.ts'),
    import('../../src/gpu/device.ts'),
  ]);
  const gpu = await openGpu();
  try {
    for (const model of KNOWN) {
      const limit = memoryLimit === undefined ? {} : { memoryLimit };
      const found = await estimate(await sourceOf(model), { ...limit, device: gpu.device });
      yield [model, fitOf(found)];
    }
  } finally {
    gpu.close();
  }
}

function fitOf({ fits, reason = '', choices }: LoadEstimate): Fit {
  if (fits) return { kind: 'fits' };
  const smaller = choices.find(({ dtype }) => dtype === 'q4');
  return smaller ? { kind: 'smaller', dtype: smaller.dtype } : { kind: 'not', reason };
}

/** The config of a known model, and a header of weights of its shapes: all that an estimate reads. */
export async function sourceOf({ id, config, stored }: KnownModel): Promise<RawSource> {
  const [{ specOf }, { ownTensors }, { encodeHeader }] = await Promise.all([
    import('../../src/families/index.ts'),
    import('../../src/model/spec.ts'),
    import('../../src/formats/safetensors.ts'),
  ]);
  const { bytes, fileBytes } = encodeHeader(
    ownTensors(specOf(config)).map(({ name, shape }) => ({ name, shape, dtype: stored })),
  );
  const json = new TextEncoder().encode(JSON.stringify(config));
  const files = new Map([
    ['config.json', { bytes: json, size: json.length }],
    ['model.safetensors', { bytes, size: fileBytes }],
  ]);
  return {
    name: id,
    read(name, start = 0, end) {
      const file = files.get(name);
      if (!file) return undefined;
      // The weights themselves are zeros.
      const bytes = new Uint8Array(Math.min(end ?? file.size, file.size) - start);
      bytes.set(file.bytes.subarray(start, start + bytes.length));
      return bytes;
    },
    size: (name) => files.get(name)?.size ?? null,
  };
}

import type { ModelConfig } from './config.ts';

/** The MLP half that every block has: `x += down(silu(gate(n)) * up(n))`, `n = RMSNorm(x)`. */
export interface MlpHalf {
  /** Position in the stack; the `i` of `model.layers.{i}`. */
  layer: number;
  /** The layer whose MLP weights (and norm) this block uses: its own, or the first of its shared pair. */
  mlp: number;
}

/** One block of the stack. */
export type Block =
  /** `x += O(attention(QKV(RMSNorm(x))))`, then the MLP half; owns one KV buffer. */
  | ({ kind: 'attention' } & MlpHalf)
  /** `x += W (x / rms(x)) + b`, then the MLP half; no KV. W may be two factors, `(hidden, rank)` times `(rank, hidden)`. */
  | ({ kind: 'linear' } & MlpHalf)
  /** The MLP half only; no KV. */
  | ({ kind: 'mlp' } & MlpHalf);

export type Plan = readonly Block[];

/** The stack of a checkpoint: front attention blocks, MLP-only blocks (shared pairs first), end attention blocks. */
export function planOf(config: ModelConfig): Plan {
  const { layers, front, mlpOnly, sharedPairs, linearLayers } = config;
  return Array.from({ length: layers }, (_, layer): Block => {
    const inMlp = layer - front;
    if (inMlp < 0 || inMlp >= mlpOnly) return { kind: 'attention', layer, mlp: layer };
    const mlp = inMlp < 2 * sharedPairs ? layer - (inMlp % 2) : layer;
    return { kind: linearLayers.includes(layer) ? 'linear' : 'mlp', layer, mlp };
  });
}

/** Width of a layer's MLP. */
export function mlpWidth(config: ModelConfig, layer: number): number {
  const inMlp = layer - config.front;
  return inMlp >= 0 && inMlp < config.mlpOnly ? config.mlpOnlyIntermediateSize : config.intermediateSize;
}

/** One tensor of a checkpoint. */
export interface TensorSpec {
  name: string;
  /** Row-major; matrices are `(out, in)`. */
  shape: readonly number[];
  /**
   * A stored copy of another tensor, of which either may be left out: the second member of a shared pair, the head of a model
   * whose embedding it is.
   */
  copyOf?: string;
}

/** Every tensor of a checkpoint with this config, in the order of the stack. Source: shishu-llama's and Llama's layouts. */
export function tensorSpecs(config: ModelConfig): TensorSpec[] {
  const { hiddenSize: d, heads, kvHeads, headDim, vocabSize } = config;
  const specs: TensorSpec[] = [{ name: 'model.embed_tokens.weight', shape: [vocabSize, d] }];
  const linear = (prefix: string, out: number, input: number, bias: boolean, copy?: string): void => {
    specs.push({ name: `${prefix}.weight`, shape: [out, input], ...(copy && { copyOf: `${copy}.weight` }) });
    if (bias) specs.push({ name: `${prefix}.bias`, shape: [out], ...(copy && { copyOf: `${copy}.bias` }) });
  };
  for (const { kind, layer, mlp } of planOf(config)) {
    const at = `model.layers.${layer}`;
    if (kind === 'attention') {
      specs.push({ name: `${at}.input_layernorm.weight`, shape: [d] });
      linear(`${at}.self_attn.q_proj`, heads * headDim, d, config.qkvBias);
      linear(`${at}.self_attn.k_proj`, kvHeads * headDim, d, config.qkvBias);
      linear(`${at}.self_attn.v_proj`, kvHeads * headDim, d, config.qkvBias);
      linear(`${at}.self_attn.o_proj`, d, heads * headDim, config.attentionOutBias);
      if (config.qkNorm === 'weighted')
        for (const part of ['q_norm', 'k_norm'])
          specs.push({ name: `${at}.self_attn.${part}.weight`, shape: [headDim] });
    }
    const { linearRank: rank } = config;
    if (kind === 'linear' && rank === undefined) linear(`${at}.linear_attn`, d, d, true);
    else if (kind === 'linear') {
      linear(`${at}.linear_attn.down`, rank!, d, false);
      linear(`${at}.linear_attn.up`, d, rank!, true);
    }
    const copy = mlp === layer ? undefined : `model.layers.${mlp}`;
    const norm = 'post_attention_layernorm.weight';
    specs.push({ name: `${at}.${norm}`, shape: [d], ...(copy && { copyOf: `${copy}.${norm}` }) });
    const width = mlpWidth(config, layer);
    for (const part of ['gate_proj', 'up_proj'])
      linear(`${at}.mlp.${part}`, width, d, config.mlpBias, copy && `${copy}.mlp.${part}`);
    linear(`${at}.mlp.down_proj`, d, width, config.mlpBias, copy && `${copy}.mlp.down_proj`);
  }
  specs.push({ name: 'model.norm.weight', shape: [d] });
  linear('lm_head', vocabSize, d, false, config.tied ? 'model.embed_tokens' : undefined);
  return specs;
}

/** The tensors of a config, each shared one once. */
export const ownSpecs = (config: ModelConfig): TensorSpec[] =>
  tensorSpecs(config).filter(({ copyOf }) => copyOf === undefined);

/** Parameters, each shared one counted once. */
export const parameterCount = (config: ModelConfig): number =>
  ownSpecs(config).reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);

/** Bytes of K and V that one token adds: 2 * bytes * attention blocks * KV heads * head size. */
export function kvBytesPerToken(config: ModelConfig, plan: Plan, bytesPerElement: number): number {
  const blocks = plan.filter((block) => block.kind === 'attention').length;
  return 2 * bytesPerElement * blocks * config.kvHeads * config.headDim;
}

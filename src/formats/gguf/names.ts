/** Tensors outside of blocks, and those of a block, by their names in a GGUF. */
const TOP: Record<string, string> = {
  token_embd: 'model.embed_tokens',
  output_norm: 'model.norm',
  output: 'lm_head',
};
const IN_BLOCK: Record<string, string> = {
  attn_norm: 'input_layernorm',
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_output: 'self_attn.o_proj',
  attn_q_norm: 'self_attn.q_norm',
  attn_k_norm: 'self_attn.k_norm',
  ffn_norm: 'post_attention_layernorm',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
};

const NAME = /^(?:blk\.(\d+)\.)?([\w.]+)\.(weight|bias)$/;

/**
 * What families call a tensor; its own name where they have none for it.
 * @param own names of an architecture that are others than Llama's; those outside of blocks whole
 */
export function familyName(name: string, own: Readonly<Record<string, string>>): string {
  const [, block, part = '', kind] = NAME.exec(name) ?? [];
  const names = { ...(block === undefined ? TOP : IN_BLOCK), ...own };
  if (!Object.hasOwn(names, part)) return name;
  return `${block === undefined ? '' : `model.layers.${block}.`}${names[part]}.${kind}`;
}

/** Tensors whose rows are those of q or k. */
export const isQueryOrKey = (name: string): boolean => /^blk\.\d+\.attn_[qk]\.(weight|bias)$/.test(name);

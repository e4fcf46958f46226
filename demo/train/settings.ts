import { type Field, fieldOf, refuseField } from '../fields.ts';

/** What a run in the page is made from: plain data, sent to the worker. */
export interface TrainSettings {
  hidden: number;
  blocks: number;
  /** Blocks of the child that keep attention, from the bottom. */
  front: number;
  /** Pairs of the child's MLP-only blocks that share weights. */
  pairs: number;
  vocabulary: number;
  rows: number;
  length: number;
  steps: number;
  learningRate: number;
  seed: number;
}

/** Fields of the form, what they may hold; sizes end where a page's memory would. */
const NUMBERS: Record<keyof TrainSettings, { from: number; to: number; fraction?: true }> = {
  hidden: { from: 16, to: 512 },
  blocks: { from: 1, to: 48 },
  front: { from: 0, to: 48 },
  pairs: { from: 0, to: 24 },
  vocabulary: { from: 300, to: 32_000 },
  rows: { from: 1, to: 64 },
  length: { from: 16, to: 512 },
  steps: { from: 1, to: 1_000_000 },
  learningRate: { from: 1e-6, to: 1, fraction: true },
  seed: { from: 0, to: 2 ** 31 - 1 },
};

/** Reads the form. @throws ShishuError `bad-argument`; the field is marked and focused then */
export function readSettings(form: HTMLFormElement): TrainSettings {
  const field = (name: string): Field => fieldOf(form, name);
  const number = (name: keyof typeof NUMBERS): number => {
    const { from, fraction, ...range } = NUMBERS[name];
    // What can't be is refused here by the name of the field, not later by that of a config's entry.
    const to = name === 'front' ? number('blocks') : name === 'pairs' ? mlpOnly() >> 1 : range.to;
    const text = field(name).value.trim();
    const value = Number(text);
    field(name).removeAttribute('aria-invalid');
    if (text !== '' && value >= from && value <= to && (fraction || Number.isInteger(value))) return value;
    const label = field(name).closest('label')?.querySelector('span')?.firstChild?.textContent?.trim();
    refuseField(
      field(name),
      `${label} is "${text}", expected ${fraction ? 'a number' : 'a whole number'} from ${from} to ${to}.`,
    );
  };
  const mlpOnly = (): number => number('blocks') - number('front');
  const names = Object.keys(NUMBERS) as (keyof typeof NUMBERS)[];
  return Object.fromEntries(names.map((name) => [name, number(name)])) as unknown as TrainSettings;
}

/** Size of an attention head. */
const HEAD = 16;

/** `config.json` of parent and child: heads of 16, half as many KV heads, an MLP of 8/3 the hidden size, as in Llama. */
export function configsOf(settings: TrainSettings): [parent: object, child: object] {
  const { hidden, blocks, front, pairs, vocabulary, length } = settings;
  const heads = Math.max(1, Math.floor(hidden / HEAD));
  const shared = {
    hidden_size: hidden,
    intermediate_size: 16 * Math.ceil(hidden / 6),
    num_attention_heads: heads,
    num_key_value_heads: heads % 2 ? heads : heads / 2,
    head_dim: HEAD,
    vocab_size: vocabulary,
    max_position_embeddings: length,
    rms_norm_eps: 1e-5,
    rope_theta: 10_000,
    hidden_act: 'silu',
    tie_word_embeddings: true,
    bos_token_id: 0,
    eos_token_id: 3,
    pad_token_id: 3,
    torch_dtype: 'float16',
  };
  return [
    {
      model_type: 'llama',
      architectures: ['LlamaForCausalLM'],
      num_hidden_layers: blocks,
      ...shared,
    },
    {
      model_type: 'shishu-llama',
      architectures: ['ShishuLlamaForCausalLM'],
      num_decoder_front: front,
      num_mlp: blocks - front,
      num_mlp_shared: pairs,
      ...shared,
    },
  ];
}

import { byteCharacters } from '../../src/formats/token-bytes.ts';
import { byteTokenizerFiles } from './byte-tokenizer.ts';
import { randomModel, tinyFiles } from './tiny-models.ts';

const turns =
  "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}" +
  "{% if m.reasoning_content is defined and loop.last %}{{ '<think>\\n' + m.reasoning_content + '\\n</think>\\n\\n' }}{% endif %}" +
  "{{ m.content + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}";

/** How templates begin an answer, in the manner of Qwen3, of DeepSeek's later ones, and of models that do not reason. */
export const TEMPLATES = {
  qwen:
    turns +
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}{% endif %}",
  deepseek: `${turns}{{ '<think>\\n' }}{% endif %}`,
  plain: `${turns}{% endif %}`.replace(/{% if m.reasoning.*?endif %}/, ''),
} as const;

/**
 * Files of the byte tokenizer with a template that reasons.
 * @param tags whether those of reasoning are tokens: control tokens, others, or none
 */
export function thinkingFiles(
  template: keyof typeof TEMPLATES,
  tags: 'control' | 'token' | 'text',
): Record<string, string> {
  const files = byteTokenizerFiles();
  const tokenizer = JSON.parse(files['tokenizer.json']!);
  const config = JSON.parse(files['tokenizer_config.json']!);
  if (tags !== 'text')
    for (const content of ['<think>', '</think>']) {
      const last = tokenizer.added_tokens.at(-1);
      tokenizer.added_tokens.push({ ...last, id: last.id + 1, content, special: tags === 'control' });
    }
  return {
    ...files,
    'tokenizer.json': JSON.stringify(tokenizer),
    'tokenizer_config.json': JSON.stringify({ ...config, chat_template: TEMPLATES[template] }),
  };
}

/** Asks, and lets the model answer behind one control token. */
const ASK =
  "{% for m in messages %}{{ m.role + ': ' + m.content + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>' }}" +
  "{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}{% endif %}";
/** What follows what, in any order of texts without a character twice. */
const SAID = ['<|im_start|>', '<think>', ...'Quick brown.', '</think>', '\n', ...'Yes!', '<|im_end|>'];

/** Files of a model that knows no more than which token follows which: it thinks "Quick brown.", and answers "Yes!". */
export const thinkingModel = (): Record<string, string | Uint8Array> =>
  chainModel(thinkingFiles('qwen', 'token'), [SAID], 280, ASK);

/** As ASK, told of tools; where one has answered, the answer begins with another token. */
const ASK_WITH_TOOLS = ASK.replace(
  "{{ '<|im_start|>' }}",
  "{{ '<|endoftext|>' if messages[-1].role == 'tool' else '<|im_start|>' }}",
).replace(/^/, "{% if tools %}{{ 'tools: <tool_call>' }}{% endif %}");

/**
 * Files of a model that says these pieces, each of them one token. From one that stood there before it goes round without an end.
 * @param told what it says once a tool has answered
 */
export function scriptedModel(
  pieces: readonly string[],
  told: readonly string[] = [],
): Record<string, string | Uint8Array> {
  const files = byteTokenizerFiles();
  const tokenizer = JSON.parse(files['tokenizer.json']!);
  for (const content of new Set([...pieces, ...told])) {
    const last = tokenizer.added_tokens.at(-1);
    tokenizer.added_tokens.push({ ...last, id: last.id + 1, content, special: false });
  }
  const size = tokenizer.added_tokens.at(-1).id + 1;
  const chains = [['<|im_start|>', ...pieces, '<|im_end|>']];
  if (told.length > 0) chains.push(['<|endoftext|>', ...told, '<|im_end|>']);
  const template = told.length > 0 ? ASK_WITH_TOOLS : ASK;
  return chainModel({ ...files, 'tokenizer.json': JSON.stringify(tokenizer) }, chains, size, template);
}

/** Adds to the files of a tokenizer a model in which each text of a chain, tokens all of them, is followed by the next. */
function chainModel(
  files: Record<string, string>,
  chains: readonly (readonly string[])[],
  size: number,
  template: string,
): Record<string, string | Uint8Array> {
  const config = JSON.parse(files['tokenizer_config.json']!);
  const { model, added_tokens: added } = JSON.parse(files['tokenizer.json']!);
  const texts = new Set(chains.flat());
  const spec = { ...ONE_BLOCK, hidden_size: texts.size > 32 ? 64 : 32, vocab_size: size };
  const tiny = randomModel(spec, 3);
  const characters = byteCharacters();
  const idOf = (text: string): number =>
    added.find(({ content }: { content: string }) => content === text)?.id ??
    model.vocab[characters[text.charCodeAt(0)]!];
  const zeroed = /norm|o_proj|down_proj|embed_tokens|lm_head/;
  for (const [name, { data }] of tiny.tensors) if (zeroed.test(name)) data.fill(/norm/.test(name) ? 1 : 0);
  const embedding = tiny.tensors.get('model.embed_tokens.weight')!.data;
  const head = tiny.tensors.get('lm_head.weight')!.data;
  for (const [i, text] of [...texts].entries()) {
    embedding[idOf(text) * spec.hidden_size + i] = 1;
    for (const chain of chains) {
      const next = chain[chain.indexOf(text) + 1];
      if (chain.includes(text) && next !== undefined) head[idOf(next) * spec.hidden_size + i] = 2;
    }
  }
  return {
    ...files,
    ...tinyFiles(tiny),
    'tokenizer_config.json': JSON.stringify({ ...config, chat_template: template }),
  };
}

const ONE_BLOCK = {
  model_type: 'llama',
  hidden_size: 32,
  intermediate_size: 32,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  max_position_embeddings: 1024,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  hidden_act: 'silu',
  tie_word_embeddings: false,
};

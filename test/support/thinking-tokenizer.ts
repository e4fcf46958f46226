import { byteTokenizerFiles } from './byte-tokenizer.ts';

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

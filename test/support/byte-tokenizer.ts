import { byteCharacters } from '../../src/formats/token-bytes.ts';

/** Merges of bytes in text; the tokens of a pair may be results of earlier merges. */
const MERGES: readonly [string, string][] = [
  ['t', 'h'],
  ['th', 'e'],
  ['i', 'n'],
  ['in', 'g'],
  [' ', 'the'],
  [' ', 'a'],
  ['a', 'n'],
  ['an', 'd'],
  ['l', 'l'],
  ['e', 'r'],
  [' ', ' '],
  ['o', 'u'],
];
const SPECIAL = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'];
/** Smallest vocabulary that holds every byte and the special tokens. */
const SMALLEST = 256 + SPECIAL.length;

const CHATML =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/**
 * Files of a byte-level BPE tokenizer in the manner of GPT-2 and Qwen: 256 bytes, a few merges, then the special
 * tokens (end of text, and ChatML's two), with a ChatML template.
 * @param vocabSize most ids it may use, at least 259; by default all merges are there.
 */
export function byteTokenizerFiles(vocabSize = SMALLEST + MERGES.length): Record<string, string> {
  if (vocabSize < SMALLEST) throw new Error(`A byte tokenizer needs ${SMALLEST} ids, not ${vocabSize}.`);
  const characters = byteCharacters();
  const write = (text: string): string => [...text].map((c) => characters[c.codePointAt(0) ?? 0]).join('');
  const merges = MERGES.slice(0, vocabSize - SMALLEST).map(([a, b]) => [write(a), write(b)] as const);
  const tokens = [...characters, ...merges.map(([a, b]) => a + b)];
  const added = SPECIAL.map((content, i) => ({
    id: tokens.length + i,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }));
  const tokenizer = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: '',
      end_of_word_suffix: '',
      fuse_unk: false,
      byte_fallback: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: merges.map((pair) => pair.join(' ')),
    },
  };
  const config = {
    tokenizer_class: 'GPT2Tokenizer',
    bos_token: null,
    eos_token: '<|im_end|>',
    pad_token: '<|endoftext|>',
    chat_template: CHATML,
  };
  const [end, , turnEnd] = added.map((token) => token.id);
  return {
    'tokenizer.json': JSON.stringify(tokenizer),
    'tokenizer_config.json': JSON.stringify(config),
    'generation_config.json': JSON.stringify({ eos_token_id: [turnEnd, end] }),
  };
}

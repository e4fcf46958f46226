// How texts are cut before BPE, by `tokenizer.ggml.pre`: the patterns of the models' own tokenizer.json.

/** White space, in the engines that models were trained with; JavaScript's \s has U+FEFF more and U+0085 less. */
const SPACE = '\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const withSpaces = (pattern: string): string =>
  pattern.replaceAll('[^\\s', `[^${SPACE}`).replaceAll('\\s', `[${SPACE}]`).replaceAll('\\S', `[^${SPACE}]`);

const ENDINGS = "'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])";
const GPT2 = "'(?:s|t|re|ve|m|ll|d)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const AFTER_NUMBERS = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const LLAMA3 = `${ENDINGS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|${AFTER_NUMBERS}`;
const QWEN2 = `${ENDINGS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|${AFTER_NUMBERS}`;

/** Words in mixed case are cut before their capitals. */
function cased(ending: string, numbers: string): string {
  const [before, upper, lower] = [
    '[^\\r\\n\\p{L}\\p{N}]?',
    '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]',
    '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]',
  ];
  const rest = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
  return `${before}${upper}*${lower}+${ending}|${before}${upper}+${lower}*${ending}|${numbers}|${rest}`;
}

export interface PreTokenizer {
  /** Each cuts what those before it left whole. */
  patterns: readonly string[];
  /** A word that is a token is taken whole, whatever the merges make of it. */
  ignoreMerges?: boolean;
  /** The begin-of-text token is put before texts unless the file says otherwise. */
  addBos?: boolean;
}

const KINDS: [names: readonly string[], PreTokenizer][] = [
  [
    ['llama-bpe', 'llama3', 'llama-v3', 'falcon3', 'lfm2'],
    { patterns: [LLAMA3], ignoreMerges: true, addBos: true },
  ],
  [['dbrx', 'smaug-bpe'], { patterns: [LLAMA3] }],
  [['qwen2', 'deepseek-r1-qwen', 'stablelm2', 'megrez'], { patterns: [QWEN2] }],
  [['smollm', 'refact', 'starcoder', 'command-r', 'codeshell', 'exaone'], { patterns: ['\\p{N}', GPT2] }],
  [['gpt-2', 'olmo', 'phi-2', 'mpt'], { patterns: [GPT2] }],
  [['gpt-4o', 'llama4'], { patterns: [cased(`(?:${ENDINGS})?`, '\\p{N}{1,3}')] }],
  [['tekken'], { patterns: [cased('', '\\p{N}')], ignoreMerges: true, addBos: true }],
  [['default'], { patterns: ['[\\p{P}$+<=>^~|]+', GPT2, '\\p{N}+', '[0-9][0-9][0-9]'] }],
];

export const PRE_TOKENIZERS: ReadonlyMap<string, PreTokenizer> = new Map(
  KINDS.flatMap(([names, { patterns, ...kind }]) =>
    names.map((name) => [name, { ...kind, patterns: patterns.map(withSpaces) }] as const),
  ),
);

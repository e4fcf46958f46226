import type { Json } from '../json.ts';
import type { Metadata } from './header.ts';
import { Keys } from './keys.ts';
import { PRE_TOKENIZERS } from './pre.ts';

const at = (key: string): string => `tokenizer.ggml.${key}`;

/** Kinds of tokens, by the numbers of `token_type`. */
const UNKNOWN = 2;
const CONTROL = 3;
const USER_DEFINED = 4;
const UNUSED = 5;
const BYTE = 6;

interface Token {
  id: number;
  text: string;
  kind: number;
  score: number;
}

/** The three files that a folder has for its tokenizer. */
export interface TokenizerJson {
  tokenizer: Json;
  tokenizerConfig: Json;
  generationConfig: Json;
}

/**
 * What `tokenizer.json`, `tokenizer_config.json` and `generation_config.json` would say of the model.
 * @throws ShishuError `bad-tokenizer`, `unsupported` naming the key
 */
export function tokenizerOf(file: string, metadata: Metadata): TokenizerJson {
  const keys = new Keys(file, metadata);
  const tokens = tokensOf(keys);
  const model = keys.need(keys.text(at('model')), at('model'), 'bad-tokenizer');
  const special = (name: string): string | undefined => {
    const key = at(`${name}_token_id`);
    const id = keys.tokenId(key);
    if (id === undefined) return undefined;
    const text = keys.texts(at('tokens'))![id];
    return text ?? keys.refuse(key, `is ${id}, which is no token.`, 'bad-tokenizer');
  };
  const made =
    model === 'gpt2'
      ? byteLevel(keys, tokens)
      : model === 'llama'
        ? sentencePiece(keys, tokens, special('unknown'))
        : keys.refuse(
            at('model'),
            `is "${model}", which is not supported.`,
            'unsupported',
            'Supported: gpt2, llama.',
          );
  const ends = ['eos', 'eot', 'eom'].map(
    (name) => [special(name), keys.tokenId(at(`${name}_token_id`))] as const,
  );
  const addBos = keys.flag(at('add_bos_token')) ?? made.addBos;
  return {
    tokenizer: {
      version: '1.0',
      added_tokens: tokens
        .filter(
          ({ kind }) => kind === CONTROL || kind === USER_DEFINED || (kind === UNKNOWN && model === 'llama'),
        )
        .map(({ id, text, kind }) => ({
          id,
          content: text,
          special: kind !== USER_DEFINED,
          normalized: false,
        })),
      post_processor: null,
      ...made.json,
    },
    tokenizerConfig: {
      ...named('bos_token', special('bos')),
      ...named('eos_token', ends[0]![0]),
      ...named('unk_token', special('unknown')),
      ...named('pad_token', special('padding')),
      add_bos_token: addBos && special('bos') !== undefined,
      add_eos_token: keys.flag(at('add_eos_token')) === true && ends[0]![0] !== undefined,
      ...named('chat_template', templatesOf(keys)),
    },
    generationConfig: {
      eos_token_id: ends.flatMap(([, id]) => (id === undefined ? [] : [id])),
      ...samplingOf(keys),
    },
  };
}

/** Keys of sampling, and the fields of `generation_config.json` that they are. */
const SAMPLING = {
  temp: 'temperature',
  top_k: 'top_k',
  top_p: 'top_p',
  min_p: 'min_p',
  penalty_repeat: 'repetition_penalty',
};

function samplingOf(keys: Keys): Json {
  const found = Object.entries(SAMPLING).map(([key, field]) =>
    named(field, keys.number(`general.sampling.${key}`)),
  );
  const fields: Json = Object.assign({}, ...found);
  return Object.keys(fields).length > 0 ? { do_sample: true, ...fields } : {};
}

const named = <T>(name: string, value: T | undefined): Json => (value === undefined ? {} : { [name]: value });

function tokensOf(keys: Keys): Token[] {
  const texts = keys.need(keys.texts(at('tokens')), at('tokens'), 'bad-tokenizer');
  const lists = { kinds: keys.numbers(at('token_type')), scores: keys.numbers(at('scores')) };
  for (const [key, list] of [
    ['token_type', lists.kinds],
    ['scores', lists.scores],
  ] as const)
    if (list && list.length !== texts.length)
      keys.refuse(at(key), `has ${list.length} numbers for ${texts.length} tokens.`, 'bad-tokenizer');
  const seen = new Set<string>();
  const tokens: Token[] = [];
  texts.forEach((text, id) => {
    const kind = lists.kinds?.[id] ?? 1;
    // Padding has no text.
    if (text === '' || kind === UNUSED) return;
    if (seen.has(text))
      keys.refuse(at('tokens'), `holds ${JSON.stringify(text)} twice (${id}).`, 'bad-tokenizer');
    seen.add(text);
    tokens.push({ id, text, kind, score: lists.scores?.[id] ?? 0 });
  });
  return tokens;
}

interface Made {
  json: Json;
  addBos: boolean;
}

const vocabOf = (tokens: readonly Token[]): Record<string, number> =>
  Object.fromEntries(tokens.map(({ text, id }) => [text, id]));

/** BPE over characters that stand for bytes. */
function byteLevel(keys: Keys, tokens: readonly Token[]): Made {
  const mend = `Supported: ${[...PRE_TOKENIZERS.keys()].join(', ')}. Convert the model to GGUF again with a newer converter where it is missing.`;
  const pre = keys.text(at('pre'));
  if (pre === undefined)
    return keys.refuse(at('pre'), 'is missing: how texts are cut is not known.', 'unsupported', mend);
  const kind = PRE_TOKENIZERS.get(pre);
  if (!kind) return keys.refuse(at('pre'), `is "${pre}", which is not known.`, 'unsupported', mend);
  const merges = keys.need(keys.texts(at('merges')), at('merges'), 'bad-tokenizer').map((merge) => {
    const cut = merge.indexOf(' ', 1);
    return cut > 0
      ? [merge.slice(0, cut), merge.slice(cut + 1)]
      : keys.refuse(at('merges'), `holds ${JSON.stringify(merge)}, which is no pair.`, 'bad-tokenizer');
  });
  const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };
  return {
    addBos: kind.addBos ?? false,
    json: {
      normalizer: null,
      pre_tokenizer: {
        type: 'Sequence',
        pretokenizers: [
          ...kind.patterns.map((Regex) => ({
            type: 'Split',
            pattern: { Regex },
            behavior: 'Isolated',
            invert: false,
          })),
          bytes,
        ],
      },
      decoder: bytes,
      model: { type: 'BPE', vocab: vocabOf(tokens), merges, ignore_merges: kind.ignoreMerges ?? false },
    },
  };
}

/** BPE by scores over characters, spaces as ▁, and bytes as tokens for what has no other. */
function sentencePiece(keys: Keys, tokens: readonly Token[], unknown: string | undefined): Made {
  keys.need(keys.numbers(at('scores')), at('scores'), 'bad-tokenizer');
  const prefix = keys.flag(at('add_space_prefix')) ?? true;
  const spaces = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
  return {
    addBos: true,
    json: {
      normalizer: {
        type: 'Sequence',
        normalizers: [...(prefix ? [{ type: 'Prepend', prepend: '▁' }] : []), spaces],
      },
      pre_tokenizer: null,
      decoder: {
        type: 'Sequence',
        decoders: [
          { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
          { type: 'ByteFallback' },
          { type: 'Fuse' },
          ...(prefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
        ],
      },
      model: {
        type: 'BPE',
        ...named('unk_token', unknown),
        fuse_unk: true,
        byte_fallback: true,
        vocab: vocabOf(tokens),
        merges: mergesOf(tokens),
      },
    },
  };
}

/** The pairs that tokens are made of, best score first: which of two comes first decides between them. */
function mergesOf(tokens: readonly Token[]): [string, string][] {
  const pieces = new Map(
    tokens
      .filter(({ kind }) => kind !== CONTROL && kind !== BYTE && kind !== UNKNOWN)
      .map((token) => [token.text, token]),
  );
  const found: { pair: [string, string]; score: number; ids: [number, number] }[] = [];
  for (const { text, score } of pieces.values()) {
    const letters = Array.from(text);
    for (let cut = 1, left = letters[0]!; cut < letters.length; left += letters[cut++]!) {
      const [first, second] = [pieces.get(left), pieces.get(text.slice(left.length))];
      if (first && second) found.push({ pair: [first.text, second.text], score, ids: [first.id, second.id] });
    }
  }
  found.sort((a, b) => b.score - a.score || a.ids[0] - b.ids[0] || a.ids[1] - b.ids[1]);
  return found.map(({ pair }) => pair);
}

/** The template, with those for other uses where the file has any. */
function templatesOf(keys: Keys): Json[] | undefined {
  const prefix = 'tokenizer.chat_template';
  const templates = keys.under(prefix).flatMap((key) => {
    if (key === 'tokenizer.chat_templates') return [];
    const name = key === prefix ? 'default' : key.slice(prefix.length + 1);
    return [{ name, template: keys.text(key) }];
  });
  return templates.length > 0 ? templates : undefined;
}

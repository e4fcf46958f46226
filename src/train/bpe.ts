import { Tokenizer } from '@huggingface/tokenizers';
import { ShishuError } from '../errors.ts';
import { byteCharacters } from '../formats/token-bytes.ts';
import { BEGIN, CHAT_TEMPLATE, END, SPECIAL_TOKENS } from './chat-format.ts';

/** Splits text into words with the space before them: GPT-2's pattern, which `ByteLevel` implies. */
const WORDS = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

const SYMBOLS: readonly string[] = byteCharacters();
const symbolsOf = (text: string): string[] =>
  Array.from(new TextEncoder().encode(text), (byte) => SYMBOLS[byte]!);

/** The smallest vocabulary: the special tokens and every byte. */
export const MIN_VOCAB = SPECIAL_TOKENS.length + 256;

type Merge = readonly [left: string, right: string];

function applyMerge(symbols: string[], [left, right]: Merge): string[] {
  const out: string[] = [];
  for (let i = 0; i < symbols.length; i++) {
    const both = symbols[i] === left && symbols[i + 1] === right;
    out.push(both ? left + right : symbols[i]!);
    if (both) i++;
  }
  return out;
}

/**
 * Learns byte-level BPE merges from texts: the most frequent pair of tokens inside words becomes one
 * token, until the vocabulary has its size or no pair occurs twice. Of equally frequent pairs, the first in sort order.
 * @param vocabSize special tokens + 256 bytes + merges
 */
export function learnMerges(texts: Iterable<string>, vocabSize: number): Merge[] {
  if (!Number.isInteger(vocabSize) || vocabSize < MIN_VOCAB)
    throw new ShishuError('bad-argument', `A vocabulary of ${vocabSize} tokens is too small.`, {
      details: { number: vocabSize, limit: MIN_VOCAB },
      mend: `Byte-level BPE needs at least ${MIN_VOCAB}: the bytes and the special tokens.`,
    });
  const counts = new Map<string, number>();
  for (const text of texts)
    for (const [word] of text.matchAll(WORDS)) counts.set(word, (counts.get(word) ?? 0) + 1);
  const words = Array.from(counts, ([word, count]) => ({ symbols: symbolsOf(word), count }));
  const merges: Merge[] = [];
  while (merges.length < vocabSize - MIN_VOCAB) {
    const pairs = new Map<string, number>();
    for (const { symbols, count } of words)
      for (let i = 1; i < symbols.length; i++) {
        const pair = `${symbols[i - 1]} ${symbols[i]}`;
        pairs.set(pair, (pairs.get(pair) ?? 0) + count);
      }
    let best = '';
    let bestCount = 1;
    for (const [pair, count] of pairs)
      if (count > bestCount || (count === bestCount && best !== '' && pair < best))
        [best, bestCount] = [pair, count];
    if (best === '') break;
    const merge = best.split(' ') as [string, string];
    merges.push(merge);
    for (const word of words) word.symbols = applyMerge(word.symbols, merge);
  }
  return merges;
}

/** Byte-level BPE: text to token ids and back, without loss for any well-formed string. */
export class Bpe {
  readonly merges: readonly Merge[];
  /** Token texts (in byte symbols) by id. */
  readonly tokens: readonly string[];
  readonly #tokenizer: Tokenizer;

  constructor(merges: readonly Merge[]) {
    this.merges = merges;
    this.tokens = [...SPECIAL_TOKENS, ...SYMBOLS, ...merges.map(([left, right]) => left + right)];
    this.#tokenizer = new Tokenizer(this.tokenizerJson(), {});
  }

  static train(texts: Iterable<string>, vocabSize: number): Bpe {
    return new Bpe(learnMerges(texts, vocabSize));
  }

  /** Reads what `tokenizerJson` wrote. */
  static fromJson(json: unknown): Bpe {
    const merges = (json as { model?: { merges?: unknown } } | null)?.model?.merges;
    if (!Array.isArray(merges) || !merges.every((m) => typeof m === 'string' && m.split(' ').length === 2))
      throw new ShishuError('bad-tokenizer', 'tokenizer.json holds no list of BPE merges.', {
        details: { file: 'tokenizer.json' },
        mend: 'Use one that this command wrote.',
      });
    return new Bpe(merges.map((merge: string) => merge.split(' ') as [string, string]));
  }

  id(token: string): number {
    return this.#tokenizer.token_to_id(token)!;
  }

  /** Special tokens written out in the text become their ids. */
  encode(text: string): number[] {
    return this.#tokenizer.encode(text, { add_special_tokens: false }).ids;
  }

  decode(ids: readonly number[]): string {
    return ids.length > 0 ? this.#tokenizer.decode([...ids], { clean_up_tokenization_spaces: false }) : '';
  }

  /** `tokenizer.json` in the layout of the `tokenizers` library. */
  tokenizerJson(): object {
    const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
    return {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: SPECIAL_TOKENS.map((content, id) => ({
        id,
        content,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
      })),
      normalizer: null,
      pre_tokenizer: byteLevel,
      post_processor: null,
      decoder: byteLevel,
      model: {
        type: 'BPE',
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: false,
        vocab: Object.fromEntries(this.tokens.map((token, id) => [token, id])),
        merges: this.merges.map((merge) => merge.join(' ')),
      },
    };
  }

  /** `tokenizer_config.json`, with the chat template. */
  configJson(maxPositions: number): object {
    return {
      tokenizer_class: 'PreTrainedTokenizerFast',
      model_max_length: maxPositions,
      bos_token: BEGIN,
      eos_token: END,
      pad_token: END,
      unk_token: null,
      add_bos_token: false,
      clean_up_tokenization_spaces: false,
      chat_template: CHAT_TEMPLATE,
    };
  }
}

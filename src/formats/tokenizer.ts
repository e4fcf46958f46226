import { Tokenizer as HfTokenizer } from '@huggingface/tokenizers';
import { ShishuError } from '../errors.ts';
import type { ChatTemplateOptions, ChatTurn, ToolFormat, Warn } from './chat-template.ts';
import { readChatTemplate } from './find-template.ts';
import { isObject, type Json, readJson, readOptionalJson } from './json.ts';
import { THOUGHT_TAGS, type ThoughtTags } from './reasoning.ts';
import type { Source } from './source.ts';
import { tokenBytes } from './token-bytes.ts';

const FILE = 'tokenizer.json';
const CONFIG = 'tokenizer_config.json';

export interface EncodeOptions {
  /** Put the tokens around the text that the model expects, as its begin-of-text (default true). */
  addSpecialTokens?: boolean;
}

export interface DecodeOptions {
  /** Leave out control tokens (default true). */
  skipSpecialTokens?: boolean;
}

/** Text to token ids and back, and conversations to text, as the model was trained. */
export interface Tokenizer {
  /** One more than the highest id. */
  readonly size: number;
  readonly hasChatTemplate: boolean;
  /** How the chat template has tools called; undefined where it has none. */
  readonly toolFormat: ToolFormat | undefined;
  /** Ids that end a reply: the end-of-text token, and what the chat template ends an answer with. */
  readonly enders: readonly number[];
  /** What stands around thoughts, as the chat template or the vocabulary has it. */
  readonly thoughtTags: readonly ThoughtTags[];
  /** Variables that the chat template reads of those that its caller may give. */
  readonly templateVariables: readonly string[];
  /** @throws ShishuError `bad-tokenizer` when the tokenizer gives no id for a part. */
  encode(text: string, options?: EncodeOptions): number[];
  /**
   * Exactly what the tokens stand for: no clean-up of spaces. Ids of the model's vocabulary that the tokenizer does
   * not name (padding) have no text. @throws ShishuError `bad-argument` for ids beyond the vocabulary.
   */
  decode(ids: readonly number[], options?: DecodeOptions): string;
  /** The text of a conversation. @throws ShishuError `bad-argument`, `unsupported` (no template), `bad-tokenizer`. */
  applyChatTemplate(messages: readonly ChatTurn[], options?: ChatTemplateOptions): string;
  /** Ids of a conversation; the template alone says which special tokens there are, so none is doubled. */
  encodeChat(messages: readonly ChatTurn[], options?: ChatTemplateOptions): number[];
  /**
   * By id, below `size`: the bytes that a token stands for within a text; undefined for silent ones.
   * @throws ShishuError `unsupported` when the tokenizer's decoder has no bytes for single tokens
   */
  tokenBytes(): (Uint8Array | undefined)[];
  /** Whether decoding leaves this id out: control tokens, and ids without text. */
  isSilent(id: number): boolean;
}

/**
 * Reads `tokenizer.json`, and `tokenizer_config.json` and the chat template where present.
 * @param vocab ids that the model knows; a tokenizer with more is refused.
 * @param warn told of variables of the chat template that it does not read
 * @throws ShishuError `not-found`, `io`, `bad-tokenizer`.
 */
export async function loadTokenizer(
  source: Source,
  vocab: number | Promise<number>,
  signal?: AbortSignal,
  warn?: Warn,
): Promise<Tokenizer> {
  const options = { code: 'bad-tokenizer' } as const;
  const reading = readOptionalJson(source, CONFIG, options, signal);
  const [vocabSize, json, config = {}, template] = await Promise.all([
    vocab,
    readJson(source, FILE, options, signal),
    reading,
    readChatTemplate(source, reading, signal, warn),
  ]);
  const size = checkIds(json, vocabSize);
  const hf = guarded('cannot be used', () => new HfTokenizer({ added_tokens: [], ...json }, config));
  const silent = silentIds(hf, config);
  const around = aroundTexts(hf, config);
  const isSilent = (id: number): boolean => silent.has(id) || hf.id_to_token(id) === undefined;

  const tokenizer: Omit<Tokenizer, 'enders'> = {
    size,
    hasChatTemplate: template !== undefined,
    toolFormat: template?.toolFormat,
    thoughtTags: shownTags(hf, template?.thoughtTags ?? []),
    get templateVariables() {
      return template?.variables() ?? [];
    },
    isSilent,
    encode(text, { addSpecialTokens = true } = {}) {
      const { ids } = guarded('cannot encode this text', () =>
        hf.encode(text, { add_special_tokens: addSpecialTokens }),
      );
      const odd = ids.findIndex((id) => !Number.isInteger(id));
      if (odd >= 0) throw bad(`gives no id for a part of the text (token ${odd}).`, { position: odd });
      return addSpecialTokens ? [...around.before, ...ids, ...around.after] : ids;
    },
    decode(ids, { skipSpecialTokens = true } = {}) {
      const odd = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
      if (odd !== undefined)
        throw new ShishuError('bad-argument', `Token id ${odd} is not in the vocabulary of ${vocabSize}.`, {
          details: { tokenId: odd, limit: vocabSize },
        });
      const shown = ids.filter((id) =>
        skipSpecialTokens ? !isSilent(id) : hf.id_to_token(id) !== undefined,
      );
      if (shown.length === 0) return '';
      return guarded('cannot decode these ids', () =>
        hf.decode(shown, { clean_up_tokenization_spaces: false }),
      );
    },
    applyChatTemplate(messages, chat) {
      if (template) return template(messages, chat);
      throw new ShishuError('unsupported', `The model in ${source.name} has no chat template.`, {
        mend: 'Pass the prompt as a string.',
      });
    },
    tokenBytes() {
      const bytesOf = tokenBytes(json);
      const added = hf.get_added_tokens_decoder();
      return Array.from({ length: size }, (_, id) => {
        if (isSilent(id)) return undefined;
        const token = hf.id_to_token(id)!;
        // Added tokens are written out as they are.
        return added.has(id) ? new TextEncoder().encode(token) : bytesOf(token);
      });
    },
    encodeChat(messages, chat) {
      return tokenizer.encode(tokenizer.applyChatTemplate(messages, chat), { addSpecialTokens: false });
    },
  };
  // A broken part shows only when it is used: use each once here.
  tokenizer.decode(tokenizer.encode('Aa 1'));
  return Object.assign(tokenizer, { enders: endersOf(hf, config, tokenizer) });
}

function bad(message: string, details: Record<string, string | number> = {}, cause?: unknown): ShishuError {
  return new ShishuError('bad-tokenizer', `${FILE} ${message}`, {
    details: { file: FILE, ...details },
    cause,
  });
}

function guarded<T>(what: string, call: () => T): T {
  try {
    return call();
  } catch (cause) {
    throw bad(`${what}: ${cause instanceof Error ? cause.message : cause}.`, {}, cause);
  }
}

/** Checks every id before anything is sized by it; returns one more than the highest. */
function checkIds(json: Json, vocabSize: number): number {
  const { model, added_tokens: added = [] } = json;
  if (!isObject(model)) throw bad('has no "model".');
  const { vocab } = model;
  let highest = -1;
  const check = (id: unknown, token: unknown): void => {
    if (!Number.isInteger(id) || (id as number) < 0)
      throw bad(`gives ${JSON.stringify(token)} the id ${JSON.stringify(id)}.`, { token: String(token) });
    highest = Math.max(highest, id as number);
  };
  if (Array.isArray(vocab)) highest = vocab.length - 1;
  else if (isObject(vocab)) for (const token of Object.keys(vocab)) check(vocab[token], token);
  else throw bad('has no "model.vocab".');
  if (!Array.isArray(added)) throw bad('holds "added_tokens" that are no list.');
  for (const token of added) {
    if (!isObject(token) || typeof token.content !== 'string' || token.content === '')
      throw bad(`holds an added token without content: ${JSON.stringify(token)}.`);
    check(token.id, token.content);
  }
  if (highest >= vocabSize)
    throw new ShishuError(
      'bad-tokenizer',
      `${FILE} has the token id ${highest}, the model knows ${vocabSize} ids.`,
      {
        details: { file: FILE, tokenId: highest, limit: vocabSize },
        mend: 'Use the tokenizer that belongs to the model.',
      },
    );
  if (highest < 0) throw bad('has no tokens.');
  return highest + 1;
}

/** Tags that the template shows, then those that are tokens of their own. */
function shownTags(hf: HfTokenizer, ofTemplate: readonly ThoughtTags[]): ThoughtTags[] {
  const added = new Set([...hf.get_added_tokens_decoder().values()].map(({ content }) => content));
  const others = THOUGHT_TAGS.filter(
    ({ open, close }) =>
      added.has(open) && added.has(close) && !ofTemplate.some((tags) => tags.open === open),
  );
  return [...ofTemplate, ...others];
}

function silentIds(hf: HfTokenizer, config: Json): Set<number> {
  const ids = new Set<number>();
  for (const [id, token] of hf.get_added_tokens_decoder()) if (token.special) ids.add(id);
  const extra = config.additional_special_tokens;
  for (const token of Array.isArray(extra) ? extra : []) {
    const id = hf.token_to_id(isObject(token) ? String(token.content) : String(token));
    if (id !== undefined) ids.add(id);
  }
  return ids;
}

/** `bos_token` or `eos_token`, which may be stored as an object. */
function specialToken(config: Json, name: string): string | undefined {
  const { [name]: value } = config;
  const content = isObject(value) ? value.content : value;
  return typeof content === 'string' ? content : undefined;
}

/**
 * What `add_bos_token` and `add_eos_token` put around a text where the post-processor of `tokenizer.json` does not: it may have
 * been written for a class that adds them itself. Set to false they change nothing: the post-processor decides.
 */
function aroundTexts(hf: HfTokenizer, config: Json): { before: number[]; after: number[] } {
  const wanted = (flag: string, name: string): number | undefined => {
    const token = config[flag] === true ? specialToken(config, name) : undefined;
    const id = token === undefined ? undefined : hf.token_to_id(token);
    if (token !== undefined && id === undefined)
      throw new ShishuError('bad-tokenizer', `${CONFIG}: "${name}" ${JSON.stringify(token)} has no id.`, {
        details: { file: CONFIG, token },
      });
    return id;
  };
  const [bos, eos] = [wanted('add_bos_token', 'bos_token'), wanted('add_eos_token', 'eos_token')];
  const { ids } = guarded('cannot encode a text', () => hf.encode('a', { add_special_tokens: true }));
  return {
    before: bos === undefined || ids[0] === bos ? [] : [bos],
    after: eos === undefined || ids.at(-1) === eos ? [] : [eos],
  };
}

const ANSWER = 'Answer';

/** The token with which the chat template ends an answer, where it does with one. */
function turnEnd(hf: HfTokenizer, tokenizer: Omit<Tokenizer, 'enders'>): number | undefined {
  if (!tokenizer.hasChatTemplate) return undefined;
  const turns = [
    { role: 'user', content: 'Question' },
    { role: 'assistant', content: ANSWER },
  ];
  let text: string;
  try {
    text = tokenizer.applyChatTemplate(turns, { addGenerationPrompt: false });
  } catch {
    // Reported when a conversation uses it.
    return undefined;
  }
  const at = text.lastIndexOf(ANSWER);
  const rest = at < 0 ? '' : text.slice(at + ANSWER.length).trimStart();
  let [end, length]: [number | undefined, number] = [undefined, 0];
  for (const [id, { content }] of hf.get_added_tokens_decoder())
    if (content.length > length && rest.startsWith(content)) [end, length] = [id, content.length];
  return end;
}

function endersOf(hf: HfTokenizer, config: Json, tokenizer: Omit<Tokenizer, 'enders'>): number[] {
  const eos = specialToken(config, 'eos_token');
  const ids = [eos === undefined ? undefined : hf.token_to_id(eos), turnEnd(hf, tokenizer)];
  return [...new Set(ids.filter((id) => id !== undefined))];
}

import { ShishuError } from '../errors.ts';
import { readOptionalJson } from './json.ts';
import type { Source } from './source.ts';

const FILE = 'generation_config.json';

/** What a model's config says of its tokens. */
interface TokenFacts {
  eosTokenIds: readonly number[];
  vocabSize: number;
}

/** What its tokenizer says of them. */
interface TextFacts {
  enders: readonly number[];
}

/**
 * Token ids that end a reply: `generation_config.json`'s `eos_token_id` (a number or a list), else those of
 * `config.json`; and those that the tokenizer and its chat template end texts and answers with, which configs often lack.
 * @throws ShishuError `bad-config` for ids outside the vocabulary; `io`.
 */
export async function readEosIds(
  source: Source,
  config: TokenFacts | Promise<TokenFacts>,
  tokenizer: TextFacts | Promise<TextFacts>,
  signal?: AbortSignal,
): Promise<readonly number[]> {
  const [json, { eosTokenIds, vocabSize }, { enders }] = await Promise.all([
    readOptionalJson(source, FILE, { code: 'bad-config' }, signal),
    config,
    tokenizer,
  ]);
  const value = json?.eos_token_id ?? eosTokenIds;
  const ids: unknown[] = Array.isArray(value) ? value : [value];
  for (const id of ids)
    if (!Number.isInteger(id) || (id as number) < 0 || (id as number) >= vocabSize)
      throw new ShishuError(
        'bad-config',
        `${FILE}: "eos_token_id" holds ${JSON.stringify(id)}, expected token ids below ${vocabSize}.`,
        { details: { file: FILE, limit: vocabSize } },
      );
  return [...new Set([...(ids as number[]), ...enders])];
}

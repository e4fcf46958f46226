import { ShishuError } from '../errors.ts';
import { type Json, readOptionalJson } from './json.ts';
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

/** How a model's files say to choose tokens; what they leave out is absent. */
export interface SamplingDefaults {
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  repetitionPenalty?: number;
}

/** Fields of the file, and what they can be. */
const SAMPLING = {
  temperature: ['temperature', (value: number) => value >= 0 && value <= 100],
  topK: ['top_k', (value: number) => Number.isInteger(value) && value >= 0 && value < 2 ** 31],
  topP: ['top_p', (value: number) => value > 0 && value <= 1],
  minP: ['min_p', (value: number) => value >= 0 && value <= 1],
  repetitionPenalty: ['repetition_penalty', (value: number) => value > 0 && value <= 100],
} as const satisfies { [K in keyof SamplingDefaults]-?: readonly [string, (value: number) => boolean] };

/** Nothing where the file does not ask for sampling; a value that cannot be is left out. */
function samplingOf(json: Json | undefined): SamplingDefaults {
  if (json?.do_sample !== true) return {};
  const found = Object.entries(SAMPLING).flatMap(([name, [field, fits]]) => {
    const value = json[field];
    return typeof value === 'number' && fits(value) ? [[name, value] as const] : [];
  });
  return { temperature: 1, ...Object.fromEntries(found) };
}

/**
 * What `generation_config.json` says: how to choose tokens, and those that end a reply: its `eos_token_id` (a number or a list), else
 * those of `config.json`; and those that the tokenizer and its chat template end texts and answers with, which configs often lack.
 * @throws ShishuError `bad-config` for ids outside the vocabulary; `io`.
 */
export async function readGeneration(
  source: Source,
  config: TokenFacts | Promise<TokenFacts>,
  tokenizer: TextFacts | Promise<TextFacts>,
  signal?: AbortSignal,
): Promise<{ eosTokenIds: readonly number[]; sampling: SamplingDefaults }> {
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
  return { eosTokenIds: [...new Set([...(ids as number[]), ...enders])], sampling: samplingOf(json) };
}

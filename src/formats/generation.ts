import { ShishuError } from '../errors.ts';
import { readOptionalJson } from './json.ts';
import type { Source } from './source.ts';

const FILE = 'generation_config.json';

/**
 * Token ids that end a reply: `generation_config.json`'s `eos_token_id` (a number or a list), else those of
 * `config.json`.
 * @throws ShishuError `bad-config` for ids outside the vocabulary; `io`.
 */
export async function readEosIds(
  source: Source,
  config: { eosTokenIds: readonly number[]; vocabSize: number },
  signal?: AbortSignal,
): Promise<readonly number[]> {
  const json = await readOptionalJson(source, FILE, { code: 'bad-config' }, signal);
  const value = json?.eos_token_id;
  if (value === undefined || value === null) return config.eosTokenIds;
  const ids: unknown[] = Array.isArray(value) ? value : [value];
  for (const id of ids)
    if (!Number.isInteger(id) || (id as number) < 0 || (id as number) >= config.vocabSize)
      throw new ShishuError(
        'bad-config',
        `${FILE}: "eos_token_id" holds ${JSON.stringify(id)}, expected token ids below ${config.vocabSize}.`,
        { details: { file: FILE, limit: config.vocabSize } },
      );
  return ids as number[];
}

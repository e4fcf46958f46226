// What the files of sentence-transformers say of how a model makes a vector of a text; fetched where a model has them.
import { ShishuError } from '../errors.ts';
import { isObject, type Json, readOptionalJson } from './json.ts';
import type { Source } from './source.ts';

const MODULES = 'modules.json';
const PROMPTS = 'config_sentence_transformers.json';

export interface EmbeddingFiles {
  /** In the words of the file, as `lasttoken` or `mean`; more than one are to be joined. */
  pooling: readonly string[];
  normalize: boolean;
  /** Whether the mean is also of the prompt's tokens. */
  includePrompt: boolean;
  /** Texts to put before a text, by name. */
  prompts: ReadonlyMap<string, string>;
  /** The one that is used where none is asked for. */
  defaultPrompt: string | undefined;
}

/**
 * Reads what `modules.json` names.
 * @throws ShishuError `bad-config`, `unsupported` for a module that would change the vectors, `io`
 */
export async function readEmbeddingFiles(
  source: Source,
  bytes: Uint8Array,
  signal?: AbortSignal,
): Promise<EmbeddingFiles> {
  let pooling: Json | undefined;
  let normalize = false;
  for (const { type, path } of modulesOf(bytes)) {
    const kind = type.split('.').at(-1)!;
    if (kind === 'Transformer') continue;
    if (kind === 'Normalize') normalize = true;
    else if (kind === 'Pooling' && !pooling && !normalize) {
      const file = `${path}/config.json`;
      pooling = await readOptionalJson(source, file, { code: 'bad-config' }, signal);
      if (!pooling) throw bad(MODULES, `names ${file}, which is not there`);
    } else
      throw new ShishuError('unsupported', `${MODULES} names ${type}, which is not supported.`, {
        details: { file: MODULES, module: type },
        mend: 'Supported: Transformer, Pooling, Normalize, in this order.',
      });
  }
  if (!pooling) throw bad(MODULES, 'names no Pooling');
  const json = await readOptionalJson(source, PROMPTS, { code: 'bad-config' }, signal);
  const { prompts = {}, default_prompt_name: name } = json ?? {};
  const texts = Object.entries(isObject(prompts) ? prompts : {}).filter(([, text]) => text !== null);
  if (texts.some(([, text]) => typeof text !== 'string')) throw bad(PROMPTS, 'has prompts that are no texts');
  const named = new Map(texts as [string, string][]);
  if (typeof name === 'string' && !named.has(name))
    throw bad(PROMPTS, `has the default prompt "${name}", which it does not name`);
  return {
    pooling: modesOf(pooling),
    normalize,
    includePrompt: pooling.include_prompt !== false,
    prompts: named,
    defaultPrompt: typeof name === 'string' ? named.get(name) : undefined,
  };
}

const bad = (file: string, what: string): ShishuError =>
  new ShishuError('bad-config', `${file} ${what}.`, { details: { file } });

function modulesOf(bytes: Uint8Array): { type: string; path: string }[] {
  let list: unknown;
  try {
    list = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new ShishuError('bad-config', `${MODULES} is not JSON.`, { details: { file: MODULES }, cause });
  }
  if (!Array.isArray(list)) throw bad(MODULES, 'is not a list');
  return list.map((each) => {
    const { type, path } = isObject(each) ? each : {};
    if (typeof type !== 'string' || typeof path !== 'string' || !/^[\w-]*$/.test(path))
      throw bad(MODULES, `holds ${JSON.stringify(each)?.slice(0, 80)}, expected a type and a folder`);
    return { type, path };
  });
}

/** Modes of a config: a name or several, or in older files a flag for each. */
function modesOf({ pooling_mode: mode, ...flags }: Json): string[] {
  if (mode !== undefined) return [mode].flat().map(String);
  const names = Object.entries(flags).flatMap(([name, on]) => {
    const [, found] = /^pooling_mode_(\w+?)(?:_tokens?)?$/.exec(name) ?? [];
    return found && on === true ? [found] : [];
  });
  // What old versions take where a file names none.
  return names.length > 0 ? names : ['mean'];
}

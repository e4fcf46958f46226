import { readFileSync } from 'node:fs';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import type { LoadOptions } from '../engine/types.ts';
import { ShishuError } from '../errors.ts';
import { checkProfile } from '../gpu/profile.ts';
import { DTYPES_TEXT } from '../quant/index.ts';
import type { ChatCorpus } from '../train/chat-corpus.ts';

/** What a subcommand's module exports as `command`. */
export interface Command {
  help: string;
  /**
   * @param signal raised by Ctrl-C
   * @param corpus the built-in one
   */
  run(argv: readonly string[], signal: AbortSignal, corpus: ChatCorpus): Promise<void>;
}

type Options = NonNullable<ParseArgsConfig['options']>;

export const text = { type: 'string' } as const;
export const flag = { type: 'boolean' } as const;

/** Of commands that take models. */
export const CACHE = { 'no-cache': flag, refresh: flag } as const;

const COMMON = {
  dtype: text,
  kv: text,
  context: text,
  adapter: text,
  profile: text,
  json: flag,
  tune: flag,
  'no-tune': flag,
  tuning: text,
  ...CACHE,
} as const;

export const MODEL_HELP = `  --dtype D        weights on the GPU: auto, ${DTYPES_TEXT} (auto: f16 where stored as F16 or
                   BF16, but for tensors that f16 does not hold; as a GGUF file has them; else f32)
  --kv D           KV cache: auto, f32 or f16 (auto: f16 on a GPU, f32 where a CPU plays one)
  --context N      tokens of context (the model's, at most 4096)`;
const PROFILE_HELP = `  --profile P      kernels and defaults of software (a CPU that plays GPU) or of gpu (auto: by the adapter)`;
export const CACHE_HELP = `  --refresh        ask the server whether files that were kept have changed
  --no-cache       keep nothing of what is downloaded, and read nothing that is kept`;
export const GPU_HELP = `  --adapter NAME   the GPU to use, by part of its name
${PROFILE_HELP}
${CACHE_HELP}`;
export const COMMON_HELP = `${MODEL_HELP}
${GPU_HELP}
  --tune, --no-tune  choose kernels by timing a few once the command is done, once a GPU and model (on, but
                   where a CPU plays GPU and with --profile software)
  --tuning FILE    a choice of kernels, as shishulm tune prints it
  --json           one JSON object on stdout`;

export const usageError = (message: string, mend?: string): ShishuError =>
  new ShishuError('bad-argument', message, { mend });

/** Parses what follows a subcommand's name: its options, and any number of other arguments. @throws ShishuError */
export function parseOptions<const T extends Options>(argv: readonly string[], options: T) {
  const config = { options, allowPositionals: true, strict: true } as const;
  try {
    return parseArgs({ ...config, args: [...argv] });
  } catch (cause) {
    const { message } = cause as Error;
    throw usageError(`${message.split('. To specify a positional')[0]!.replace(/\.$/, '')}.`);
  }
}

/** Parses what follows a subcommand's name: its options, the common ones, and one folder. */
export function parseCommand<const T extends Options>(argv: readonly string[], options: T) {
  const { values, positionals } = parseOptions(argv, { ...COMMON, ...options });
  const [folder, extra] = positionals;
  if (folder === undefined)
    throw usageError(
      'No model was given.',
      'Name its folder or GGUF file, its owner/name on a hub, or an address.',
    );
  if (extra !== undefined)
    throw usageError(`"${extra}" is one argument too many.`, 'Put quotes around a text with spaces.');
  return { values, folder };
}

/** @throws ShishuError for options that a command does not have, though others do */
export function refuseOptions(values: Readonly<Record<string, unknown>>, names: readonly string[]): void {
  for (const name of names)
    if (values[name] !== undefined) throw usageError(`--${name} has no meaning here.`);
}

/** A number from an option's text; its range is the engine's to check. */
export function numberOf(name: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const number = Number(value);
  if (value.trim() === '' || !Number.isFinite(number))
    throw usageError(`--${name} is "${value}", expected a number.`);
  return number;
}

/** A number in a range from an option's text. */
export function numberInRange(
  name: string,
  value: string | undefined,
  from: number,
  to: number,
  kind: 'number' | 'whole number' = 'number',
): number | undefined {
  const number = numberOf(name, value);
  if (number === undefined) return undefined;
  if (number < from || number > to || (kind === 'whole number' && !Number.isInteger(number)))
    throw usageError(`--${name} is ${number}, expected a ${kind} from ${from} to ${to}.`);
  return number;
}

/** A whole number in a range from an option's text. */
export const wholeNumberOf = (
  name: string,
  value: string | undefined,
  from: number,
  to: number,
): number | undefined => numberInRange(name, value, from, to, 'whole number');

/** Token ids from a list with commas. */
export function idsOf(name: string, value: string): number[] {
  return value.split(',').map((item) => {
    if (!/^\s*\d+\s*$/.test(item))
      throw usageError(`--${name} holds "${item}", expected token ids with commas between, as 1,2,3.`);
    return Number(item);
  });
}

/** What `--no-cache` and `--refresh` ask for. */
export function cacheOf(values: { 'no-cache'?: boolean; refresh?: boolean }): boolean | 'refresh' {
  const { 'no-cache': none, refresh } = values;
  if (none && refresh) throw usageError('Give either --no-cache or --refresh.');
  return refresh ? 'refresh' : !none;
}

/** The choice of kernels in a file; what it names is the engine's to check. */
function tuningOf(path: string): NonNullable<LoadOptions['tuning']> {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw usageError(
      `--tuning is ${path}, which holds no choice of kernels: ${(cause as Error).message}.`,
      'shishulm tune prints one.',
    );
  }
}

/** The common options as `loadModel` takes them; it checks their values. */
export function loadOptionsOf(values: {
  dtype?: string;
  kv?: string;
  context?: string;
  profile?: string;
  tune?: boolean;
  'no-tune'?: boolean;
  tuning?: string;
  'no-cache'?: boolean;
  refresh?: boolean;
}): LoadOptions {
  const { tune, 'no-tune': plain } = values;
  if (tune && plain) throw usageError('Give either --tune or --no-tune.');
  return {
    cache: cacheOf(values),
    ...((tune || plain) && { tune: tune === true }),
    ...(values.tuning !== undefined && { tuning: tuningOf(values.tuning) }),
    ...(values.profile !== undefined && { profile: checkProfile(values.profile) }),
    ...(values.dtype !== undefined && { dtype: values.dtype as NonNullable<LoadOptions['dtype']> }),
    ...(values.kv !== undefined && { kv: values.kv as NonNullable<LoadOptions['kv']> }),
    ...(values.context !== undefined && { contextLength: numberOf('context', values.context)! }),
  };
}

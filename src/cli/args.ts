import { type ParseArgsConfig, parseArgs } from 'node:util';
import type { LoadOptions } from '../engine/types.ts';
import { ShishuError } from '../errors.ts';
import { checkProfile } from '../gpu/profile.ts';

/** What a subcommand's module exports as `command`. */
export interface Command {
  help: string;
  /** @param signal raised by Ctrl-C */
  run(argv: readonly string[], signal: AbortSignal): Promise<void>;
}

type Options = NonNullable<ParseArgsConfig['options']>;

export const text = { type: 'string' } as const;
export const flag = { type: 'boolean' } as const;

const COMMON = {
  dtype: text,
  kv: text,
  context: text,
  adapter: text,
  profile: text,
  json: flag,
  tune: flag,
  'no-tune': flag,
} as const;

export const MODEL_HELP = `  --dtype D        weights on the GPU: auto, f32, f16, q8 or q4 (auto: f16 where stored so, else f32)
  --kv D           KV cache: f32 or f16 (f32)
  --context N      tokens of context (the model's, at most 4096)`;
export const PROFILE_HELP = `  --profile P      kernels and defaults of software (a CPU that plays GPU) or of gpu (auto: by the adapter)`;
export const COMMON_HELP = `${MODEL_HELP}
  --adapter NAME   the GPU to use, by part of its name
${PROFILE_HELP}
  --tune, --no-tune  choose kernels by timing a few, once a GPU and model (on, but where a CPU plays GPU)
  --json           one JSON object on stdout`;

export const usageError = (message: string, mend?: string): ShishuError =>
  new ShishuError('bad-argument', message, { mend });

/** Parses what follows a subcommand's name: its options, the common ones, and one folder. */
export function parseCommand<const T extends Options>(argv: readonly string[], options: T) {
  const config = { options: { ...COMMON, ...options }, allowPositionals: true, strict: true } as const;
  const parse = () => {
    try {
      return parseArgs({ ...config, args: [...argv] });
    } catch (cause) {
      const { message } = cause as Error;
      throw usageError(`${message.split('. To specify a positional')[0]!.replace(/\.$/, '')}.`);
    }
  };
  const { values, positionals } = parse();
  const [folder, extra] = positionals;
  if (folder === undefined) throw usageError('No model folder was given.', 'Name the folder or its URL.');
  if (extra !== undefined)
    throw usageError(`"${extra}" is one argument too many.`, 'Put quotes around a text with spaces.');
  return { values, folder };
}

/** A number from an option's text; its range is the engine's to check. */
export function numberOf(name: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const number = Number(value);
  if (value.trim() === '' || !Number.isFinite(number))
    throw usageError(`--${name} is "${value}", expected a number.`);
  return number;
}

/** Token ids from a list with commas. */
export function idsOf(name: string, value: string): number[] {
  return value.split(',').map((part) => {
    if (!/^\s*\d+\s*$/.test(part))
      throw usageError(`--${name} holds "${part}", expected token ids with commas between, as 1,2,3.`);
    return Number(part);
  });
}

/** The common options as `loadModel` takes them; it checks their values. */
export function loadOptionsOf(values: {
  dtype?: string;
  kv?: string;
  context?: string;
  profile?: string;
  tune?: boolean;
  'no-tune'?: boolean;
}): LoadOptions {
  const { tune, 'no-tune': plain } = values;
  if (tune && plain) throw usageError('Give either --tune or --no-tune.');
  return {
    ...((tune || plain) && { tune: tune === true }),
    ...(values.profile !== undefined && { profile: checkProfile(values.profile) }),
    ...(values.dtype !== undefined && { dtype: values.dtype as NonNullable<LoadOptions['dtype']> }),
    ...(values.kv !== undefined && { kv: values.kv as NonNullable<LoadOptions['kv']> }),
    ...(values.context !== undefined && { contextLength: numberOf('context', values.context)! }),
  };
}

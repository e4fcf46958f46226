import { refuseOption, ShishuError } from '../errors.ts';

/** Variables of a chat template, besides those that every conversation has: JSON values by name. */
export type TemplateVariables = Readonly<Record<string, unknown>>;

const MAX_DEPTH = 100;

/** What a conversation has of its own, and what every template finds set. */
const RESERVED: readonly string[] = [
  ...['messages', 'tools', 'add_generation_prompt'],
  ...['bos', 'eos', 'unk', 'sep', 'pad', 'cls', 'mask'].map((name) => `${name}_token`),
  ...['range', 'dict', 'namespace', 'joiner', 'cycler', 'raise_exception', 'strftime_now', 'loop'],
  ...['true', 'false', 'none', 'True', 'False', 'None'],
];

export const isReserved = (name: string): boolean => RESERVED.includes(name);

/** @throws ShishuError `bad-argument` that names the variable, for what is no JSON or not the caller's to give */
export function checkTemplateVariables(name: string, value: unknown): TemplateVariables {
  if (!isPlain(value)) return refuseOption(name, value, 'an object of JSON values by name');
  for (const [variable, each] of Object.entries(value)) {
    const option = `${name}.${variable}`;
    if (isReserved(variable))
      throw new ShishuError('bad-argument', `A template variable cannot be named "${variable}".`, {
        details: { option, reserved: RESERVED },
        mend: 'The template has it from the model, the messages or other options.',
      });
    if (!isJson(each)) refuseOption(option, each, `a JSON value, nested at most ${MAX_DEPTH} deep`);
  }
  return value;
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  // Those of other realms have another Object.
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function isJson(value: unknown, depth = 0): boolean {
  if (depth > MAX_DEPTH) return false;
  if (typeof value === 'number') return Number.isFinite(value);
  if (Array.isArray(value)) return value.every((each) => isJson(each, depth + 1));
  if (isPlain(value)) return Object.values(value).every((each) => isJson(each, depth + 1));
  return value === null || typeof value === 'string' || typeof value === 'boolean';
}

/**
 * What a caller is told whose variables a template does not read; undefined where it reads all.
 * @param read names that it reads
 */
export function unreadVariables(variables: TemplateVariables, read: readonly string[]): string | undefined {
  const unread = Object.keys(variables).filter((name) => !read.includes(name));
  if (unread.length === 0) return undefined;
  const named = unread.map((name) => JSON.stringify(name)).join(', ');
  const others = read.length > 0 ? `reads ${read.join(', ')}` : 'reads no variables';
  return `The chat template of the model does not read the variable ${named}. It ${others}.`;
}

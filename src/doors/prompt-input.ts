// What the browsers' Prompt API takes, judged and in our terms. Source: webmachinelearning.github.io/prompt-api
import type { GenerateOptions, Message } from '../engine/types.ts';

/** A piece of a message. Of text alone: other kinds are refused. */
export interface LanguageModelMessageContent {
  type: 'text';
  value: string;
}

export interface LanguageModelMessage {
  role: 'system' | 'user' | 'assistant';
  content: string | readonly LanguageModelMessageContent[];
  /** Not supported: an answer cannot be begun. */
  prefix?: false;
}

/** A text of the user, or messages. */
export type LanguageModelPrompt = string | readonly LanguageModelMessage[];

export interface LanguageModelPromptOptions {
  /** A JSON schema, or a regular expression, that the whole answer matches. */
  responseConstraint?: object | RegExp;
  /** Taken: the model is never told of the constraint, which holds anyway. */
  omitResponseConstraintInput?: boolean;
  signal?: AbortSignal;
}

/** What kinds of input or output are expected: text alone there is. */
export interface LanguageModelExpected {
  type: 'text';
  languages?: readonly string[];
}

const failure = (name: string, message: string): DOMException => new DOMException(message, name);

export const notSupported = (what: string): DOMException =>
  failure('NotSupportedError', `${what} is not supported.`);

/** As the browsers' own: how many tokens were asked for, and how many there may be. */
export const quotaExceeded = (requested: number, quota: number): DOMException =>
  Object.assign(
    failure('QuotaExceededError', `The input takes ${requested} tokens, there is room for ${quota}.`),
    { requested, quota },
  );

function textOf(content: LanguageModelMessage['content']): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) throw new TypeError('The content of a message is a text or a list of pieces.');
  return content
    .map(({ type, value }) => {
      if (type !== 'text') throw notSupported(`Content of type "${type}"`);
      if (typeof value !== 'string') throw new TypeError('The value of a piece of type "text" is no text.');
      return value;
    })
    .join('');
}

/**
 * @param first whether a system message may begin them
 * @throws TypeError or DOMException `NotSupportedError`
 */
export function messagesOf(input: LanguageModelPrompt, first: boolean): Message[] {
  if (typeof input === 'string') return [{ role: 'user', content: input }];
  if (!Array.isArray(input) || input.length === 0)
    throw new TypeError('A prompt is a text, or a list of messages that is not empty.');
  return (input as readonly LanguageModelMessage[]).map((message, i) => {
    const { role, content, prefix } = message ?? {};
    if (!['system', 'user', 'assistant'].includes(role)) throw new TypeError(`There is no role "${role}".`);
    if (role === 'system' && (i > 0 || !first))
      throw notSupported('A system message that does not begin the conversation');
    if (prefix) throw notSupported('A message with "prefix"');
    return { role, content: textOf(content) };
  });
}

/** @throws TypeError for what is neither a schema nor a regular expression */
export function constraintOf(given: object | undefined): Pick<GenerateOptions, 'constraint'> {
  if (given === undefined) return {};
  if (given instanceof RegExp) return { constraint: { regex: given.source } };
  if (typeof given !== 'object' || given === null)
    throw new TypeError('A responseConstraint is a JSON schema, or a regular expression.');
  return { constraint: { jsonSchema: given } };
}

/** @throws DOMException `NotSupportedError` for another kind than text */
export function checkExpected(expected: readonly { type: string }[] | undefined): void {
  for (const { type } of expected ?? []) if (type !== 'text') throw notSupported(`Type "${type}"`);
}

import { ShishuError } from '../errors.ts';
import type { Tokenizer } from '../formats/tokenizer.ts';
import type { ForwardParts } from '../model/forward.ts';
import type { ModelSpec } from '../model/spec.ts';
import type { CheckedOptions } from './options.ts';
import type { Runner } from './runner.ts';
import type { Message, Prompt, TokenIds } from './types.ts';

/** @throws ShishuError `bad-argument` for ids that the vocabulary has not */
export function checkIds(ids: readonly number[], vocabSize: number): void {
  const at = ids.findIndex((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
  const odd = ids[at];
  if (at >= 0)
    throw new ShishuError('bad-argument', `Token id ${odd} is not below the vocabulary's ${vocabSize}.`, {
      details: { tokenId: Number(odd), limit: vocabSize },
    });
}

/** @throws ShishuError `unsupported` for a model that makes no logits */
export function checkHead({ headless, head }: ModelSpec): void {
  if (!headless) return;
  const tensor = `${head.name}.weight`;
  throw new ShishuError('unsupported', `The model has no head ("${tensor}"): it makes embeddings alone.`, {
    details: { tensor },
    mend: 'Use embed, or a checkpoint with its head.',
  });
}

/** Token ids of a text that runs whole. @throws ShishuError `bad-argument`, `context-full`, `unsupported` */
export function wholeIds(
  { spec, kv }: Pick<ForwardParts, 'spec' | 'kv'>,
  given: TokenIds,
): readonly number[] {
  checkHead(spec);
  const ids = idList(given);
  if (ids.length === 0) throw new ShishuError('bad-argument', 'There are no tokens.');
  checkIds(ids, spec.vocabSize);
  if (ids.length > kv.context)
    throw new ShishuError(
      'context-full',
      `There are ${ids.length} tokens, the context holds ${kv.context}.`,
      {
        details: { tokens: ids.length, limit: kv.context },
        mend: 'Load the model with a larger contextLength, or use fewer tokens.',
      },
    );
  return ids;
}

/** A list of ids, however they are held. */
export const idList = (ids: TokenIds): readonly number[] => (Array.isArray(ids) ? ids : Array.from(ids));

/** Whether it goes through the chat template. */
export const isMessages = (prompt: Prompt): prompt is readonly Message[] =>
  typeof prompt !== 'string' && !isIds(prompt);

export const isIds = (value: unknown): value is TokenIds =>
  ArrayBuffer.isView(value) || (Array.isArray(value) && typeof value[0] === 'number');

/** Token ids of a prompt. @throws ShishuError `bad-argument`, `context-full`, `unsupported` */
export function promptIds(
  { tokenizer, runner }: { tokenizer: Tokenizer; runner: Runner },
  prompt: Prompt,
  options: CheckedOptions,
): number[] {
  const { spec, kv } = runner.parts;
  if (options.templateVariables && !isMessages(prompt))
    throw new ShishuError(
      'bad-argument',
      'Option "templateVariables" is for messages, the prompt has none.',
      {
        details: { option: 'templateVariables' },
        mend: 'Give messages, or leave it out.',
      },
    );
  const ids =
    typeof prompt === 'string'
      ? tokenizer.encode(prompt)
      : isIds(prompt)
        ? [...prompt]
        : tokenizer.encodeChat(prompt, options);
  if (ids.length === 0 || prompt.length === 0)
    throw new ShishuError('bad-argument', 'The prompt is empty.', {
      mend: 'Give at least one token of text.',
    });
  checkIds(ids, spec.vocabSize);
  if (ids.length > kv.context)
    throw new ShishuError(
      'context-full',
      `The prompt has ${ids.length} tokens, the context holds ${kv.context}.`,
      {
        details: { tokens: ids.length, limit: kv.context },
        mend: 'Shorten the prompt, or load the model with a larger contextLength.',
      },
    );
  return ids;
}

import { ShishuError } from '../errors.ts';
import type { ThoughtTags } from '../formats/reasoning.ts';
import type { Tokenizer } from '../formats/tokenizer.ts';
import type { Masks, TokenConstraint } from '../grammar/constraint.ts';
import { ConstrainedAnswer } from './answer.ts';
import type { CheckedOptions } from './options.ts';
import { isMessages } from './prompt.ts';
import type { Prompt } from './types.ts';

/** How a reply may reason before it answers. */
export interface Reasoning {
  tags: readonly ThoughtTags[];
  /** Those of the reasoning that the prompt has opened. */
  opened: ThoughtTags | undefined;
  /** The prompt has closed it: the reply is to be the answer. */
  closed: boolean;
  /** Most tokens of it. */
  budget: number | undefined;
}

/** Tokens of the prompt's end in which a tag is looked for. */
const TAG_TOKENS = 32;
/** With which Qwen's models are told to answer. */
const EARLY_END =
  '\n\nConsidering the limited time by the user, I have to give the solution based on the thinking directly now.';

/**
 * Undefined where the reply is taken as it is.
 * @throws ShishuError `bad-argument` for a budget of what is not known
 */
export function reasoningOf(
  tokenizer: Tokenizer,
  prompt: Prompt,
  promptTokenIds: readonly number[],
  { reasoningTags: given, reasoningBudget: budget }: CheckedOptions,
): Reasoning | undefined {
  const own = isMessages(prompt) ? tokenizer.thoughtTags : [];
  const tags = given === undefined ? own : given ? [given] : [];
  if (tags.length === 0) {
    if (budget === undefined) return undefined;
    throw new ShishuError(
      'bad-argument',
      'Option "reasoningBudget" is given, and what stands around reasoning is not known.',
      {
        details: { option: 'reasoningBudget' },
        mend: 'Give "reasoningTags", or leave it out.',
      },
    );
  }
  const end = tokenizer.decode(promptTokenIds.slice(-TAG_TOKENS), { skipSpecialTokens: false }).trimEnd();
  return {
    tags,
    opened: tags.find(({ open }) => end.endsWith(open)),
    closed: tags.some(({ close }) => end.endsWith(close)),
    budget,
  };
}

/** Token ids that close reasoning whose budget is used up. @param spent whether there is any */
export function closingIds(tokenizer: Tokenizer, close: string, spent: boolean): number[] {
  return tokenizer.encode(`${spent ? `${EARLY_END}\n` : '\n\n'}${close}\n\n`, { addSpecialTokens: false });
}

/** What a reply is constrained by: from its first token on, or from that of its answer. */
export function constraintOf(
  tokenizer: Tokenizer,
  masks: Masks,
  enders: ReadonlySet<number>,
  reasoning: Reasoning | undefined,
): TokenConstraint {
  if (!reasoning || reasoning.closed) return masks.reply(enders);
  return new ConstrainedAnswer(() => masks.reply(enders), enders, {
    opens: reasoning.tags.map(({ open, close }) => ({
      ids: tokenizer.encode(open, { addSpecialTokens: false }),
      close,
    })),
    opened: reasoning.opened?.close,
    written: (id) => tokenizer.decode([id], { skipSpecialTokens: false }),
  });
}

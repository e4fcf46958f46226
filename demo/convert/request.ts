import type { ConvertOptions } from '../../src/convert/convert-target.ts';
import type { HealOptions } from '../../src/convert/heal-plan.ts';

/** What to fit to and to measure on: the built-in chats, the model's own words, or texts of the reader's. */
export interface TextChoice {
  kind: 'chats' | 'own' | 'given';
  /** Of `given`; a name that ends in .jsonl holds chats. */
  texts: { name: string; text: string }[];
  /** Of `given`: as many of the model's own words besides. */
  withOwn: boolean;
  tokens: number;
  window: number;
}

/** How the child is made; plain data. */
export type ChildChoice = Pick<
  ConvertOptions,
  | 'keepAttention'
  | 'layers'
  | 'saveMemory'
  | 'maxPerplexity'
  | 'linear'
  | 'rank'
  | 'inputs'
  | 'sharePairs'
  | 'share'
  | 'order'
> & { heal?: HealOptions | undefined };

/** A conversion as it was asked for; plain data, so that it can be asked for again. */
export interface Request {
  /** The child's folder. */
  name: string;
  /** The parent's, for people. */
  parent: string;
  text: TextChoice;
  child: ChildChoice;
  /** A child made here before that is to be healed further, in place of the parent's conversion. */
  more?: string;
}

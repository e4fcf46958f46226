import type { Sample, TrainingData } from './batches.ts';
import type { Bpe } from './bpe.ts';
import { piecesOf, type Turn, textOf } from './chat-format.ts';

/** Chats to train on, and chats for evaluation that share no question with them. */
export type Split = 'train' | 'held-out';

export interface Chat {
  /** One of the corpus's kinds. */
  kind: string;
  turns: Turn[];
}

/** An endless, seeded corpus of chats: what `shishulm train` learns unless it is given a text. */
export interface ChatCorpus {
  /** Kinds of chat, in the order of an evaluation's table. */
  kinds: readonly string[];
  /** Kinds of question about a story in the chat, in the same order; an evaluation also counts them together. */
  storyQuestions: readonly string[];
  /** Chat number `index` of a seed; the same arguments give the same chat. With `kind`, a chat of that kind. */
  chatAt(seed: number, index: number, split?: Split, kind?: string): Chat;
}

/** Added to the seed of chats that a model is measured on, so that training with the same seed does not draw them. */
export const MEASURING_SEED_OFFSET = 1_000_003;

/** Loss weight of tokens of the user and of the format; the assistant's have 1. */
export const CONTEXT_WEIGHT = 0.1;

/** Chats that a vocabulary is learnt from. */
const VOCABULARY_CHATS = 20_000;

/** A chat as tokens with their loss weights. */
export function sampleOf(bpe: Bpe, { turns }: Chat): Sample {
  const sample: Sample = { ids: [], weights: [] };
  for (const { text, spoken } of piecesOf(turns)) {
    const ids = bpe.encode(text);
    sample.ids.push(...ids);
    sample.weights.push(...ids.map(() => (spoken ? 1 : CONTEXT_WEIGHT)));
  }
  return sample;
}

/** A corpus of chats as training data. */
export const chatData = (corpus: ChatCorpus, seed: number): TrainingData => ({
  texts: () =>
    Array.from({ length: VOCABULARY_CHATS }, (_, index) => textOf(corpus.chatAt(seed, index).turns)),
  training: (bpe) => (index) => sampleOf(bpe, corpus.chatAt(seed, index)),
  heldOut: (bpe) => (index) => sampleOf(bpe, corpus.chatAt(seed, index, 'held-out')),
});

import { Bpe } from './bpe.ts';
import { piecesOf } from './chat-format.ts';
import { chatAt } from './corpus.ts';

/** Chats that the vocabulary is learnt from. */
const SAMPLES = 20_000;

/** A vocabulary for the built-in corpus of a seed. */
export const corpusVocabulary = (seed: number, size: number): Bpe =>
  Bpe.train(
    Array.from({ length: SAMPLES }, (_, i) =>
      piecesOf(chatAt(seed, i).turns)
        .map(({ text }) => text)
        .join(''),
    ),
    size,
  );

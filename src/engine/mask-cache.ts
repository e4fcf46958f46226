import type { Tokenizer } from '../formats/tokenizer.ts';
import { type Constraint, Masks } from '../grammar/constraint.ts';
import { refuseDeep } from '../grammar/depth.ts';
import { Vocabulary } from '../grammar/vocabulary.ts';
import { maskWords } from '../kernels/logits.ts';

/** Constraints kept compiled, the latest used. */
const KEPT = 4;

/** A model's constraints with the masks made so far, so that the next reply under the same one finds them. */
export class MaskCache {
  readonly #tokenizer: Tokenizer;
  readonly #words: number;
  readonly #kept = new Map<string, Masks>();
  #vocabulary: Vocabulary | undefined;

  /** @param vocabSize of the model, which may be larger than the tokenizer's */
  constructor(tokenizer: Tokenizer, vocabSize: number) {
    this.#tokenizer = tokenizer;
    this.#words = maskWords(vocabSize);
  }

  /** @throws ShishuError `bad-argument`, `unsupported` for a constraint or a tokenizer that cannot be used so */
  of(constraint: Constraint): Masks {
    refuseDeep(constraint, 'constraint');
    const key = JSON.stringify(constraint);
    this.#vocabulary ??= new Vocabulary(this.#tokenizer.tokenBytes());
    const masks = this.#kept.get(key) ?? new Masks(constraint, this.#vocabulary, this.#words);
    this.#kept.delete(key);
    this.#kept.set(key, masks);
    for (const oldest of [...this.#kept.keys()].slice(0, -KEPT)) this.#kept.delete(oldest);
    return masks;
  }
}

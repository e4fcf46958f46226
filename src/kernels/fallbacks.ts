// What may take a kernel's place: by the choices of a tuning.
import { type TunedKernels, VARIANTS } from './tuning.ts';

/** The part of a tuning that can be chosen. */
export const tunedOf = (tuning: TunedKernels): TunedKernels => {
  const { matvec, attention, wide, wideAttention } = tuning;
  return { matvec, attention, wide, wideAttention };
};

/** A choice and one of its values, in words. */
export const variantText = (choice: string, value: unknown): string =>
  `${choice} ${typeof value === 'object' ? JSON.stringify(value) : value}`;

/**
 * Choices by kinds of kernels, in the order in which they are taken where one fails. Lane shapes are one text: where it fails with
 * some lanes, it does with others, so that the next is the one in which no threads work together.
 */
export const FALLBACKS = {
  ...VARIANTS,
  matvec: [VARIANTS.matvec.at(-1)!, VARIANTS.matvec[0]],
  vocabulary: [256, 16],
} as const;

/** The choice that a kernel goes by; others have no variants. */
export const CHOICE_OF: Readonly<Record<string, keyof typeof FALLBACKS>> = {
  matvec: 'matvec',
  norm: 'matvec',
  rope: 'matvec',
  matmul: 'wide',
  attention_decode: 'attention',
  attention_reduce: 'attention',
  attention_tiled: 'wideAttention',
  argmax: 'vocabulary',
  sample: 'vocabulary',
  adjust: 'vocabulary',
  score: 'vocabulary',
  top_logprobs: 'vocabulary',
};

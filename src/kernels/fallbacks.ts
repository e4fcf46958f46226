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

/** Choices by kinds of kernels, likely ones first: where one fails, the next takes its place. */
export const FALLBACKS = { ...VARIANTS, vocabulary: [256, 16] } as const;

/** The choice that a kernel goes by; others have nothing to take their place. */
export const CHOICE_OF: Readonly<Record<string, keyof typeof FALLBACKS>> = {
  matvec: 'matvec',
  matvec_lanes: 'matvec',
  norm: 'matvec',
  rope: 'matvec',
  matmul: 'wide',
  attention_decode: 'attention',
  attention_decode_reduce: 'attention',
  attention_tiled: 'wideAttention',
  argmax: 'vocabulary',
  sample: 'vocabulary',
  adjust: 'vocabulary',
  score: 'vocabulary',
  top_logprobs: 'vocabulary',
  slices: 'vocabulary',
  argmax_slices: 'vocabulary',
  candidates: 'vocabulary',
  draw: 'vocabulary',
  score_slices: 'vocabulary',
  top_slices: 'vocabulary',
  top_merge: 'vocabulary',
};

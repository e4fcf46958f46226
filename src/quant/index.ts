import { bf16 } from './bf16.ts';
import { f16 } from './f16.ts';
import { f32 } from './f32.ts';
import type { ValueFormat, WeightFormat } from './format.ts';
import { q4 } from './q4.ts';
import { q4_1 } from './q4_1.ts';
import { q4_k } from './q4_k.ts';
import { q5 } from './q5.ts';
import { q5_k } from './q5_k.ts';
import { q6_k } from './q6_k.ts';
import { q8 } from './q8.ts';

/** Formats that weights can be kept in whatever they are stored as, from the truest to the smallest. */
const CHOICES = { f32, f16, q8, q4 } as const satisfies Record<string, ValueFormat>;

/** Formats that weights are rounded to: those, and bf16, for files that have it. */
export const VALUE_FORMATS = { ...CHOICES, bf16 } as const satisfies Record<string, ValueFormat>;

/**
 * Every weight format. A new one costs its file here, its reader in shaders/shared/, and a line in this list.
 */
export const FORMATS = { ...VALUE_FORMATS, q6_k, q5, q5_k, q4_1, q4_k } as const satisfies Record<
  string,
  WeightFormat
>;

/** A format that can be asked for. */
export type ChosenDtype = keyof typeof CHOICES;
export type ValueDtype = keyof typeof VALUE_FORMATS;
/** How a weight matrix is kept. */
export type WeightDtype = keyof typeof FORMATS;

/** Names of the formats that can be asked for, from the truest to the smallest. */
export const DTYPES = Object.keys(CHOICES) as readonly ChosenDtype[];

/** The same in words, for messages: `f32, f16, q8 or q4`. */
export const DTYPES_TEXT = DTYPES.join(', ').replace(/, (\w+)$/, ' or $1');

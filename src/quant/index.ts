import { f16 } from './f16.ts';
import { f32 } from './f32.ts';
import type { WeightFormat } from './format.ts';
import { q4 } from './q4.ts';
import { q8 } from './q8.ts';

/**
 * Every weight format, from the truest to the smallest. A new one costs its file here, its reader in shaders/shared/, and a
 * line in this list.
 */
export const FORMATS = { f32, f16, q8, q4 } as const satisfies Record<string, WeightFormat>;

/** How a weight matrix is kept. */
export type WeightDtype = keyof typeof FORMATS;

/** Names of the formats, from the truest to the smallest. */
export const DTYPES = Object.keys(FORMATS) as readonly WeightDtype[];

/** The same in words, for messages: `f32, f16, q8 or q4`. */
export const DTYPES_TEXT = DTYPES.join(', ').replace(/, (\w+)$/, ' or $1');

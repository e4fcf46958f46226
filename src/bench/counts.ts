// Written by `npm run check:gpu -- --write`: what the compiler for RDNA 3 makes of the kernels that models launch.
import type { Counts } from './work.ts';

/** By row of kernels: the worst of its kernels. */
export const COUNTS: Readonly<Record<string, Counts>> = {};

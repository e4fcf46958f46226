import { inject } from 'vitest';

/**
 * Whether a file runs every case that it has: always in Node, in a browser in the full run alone, whose software adapter compiles
 * each kernel anew and takes long for those of GPUs.
 */
export const thorough = inject('full') || typeof document === 'undefined';

/** Milliseconds that such an adapter may take to load a model with those kernels and run it. */
export const SLOW = 600_000;

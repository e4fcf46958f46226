import { setFlagsFromString } from 'node:v8';
import { useThreads } from './node-threads.ts';
import { loadTraining } from './trainable.ts';

/** What jax needs in Node to be fast; must come before it is loaded. */
export function prepareJax(threads = 2): void {
  // The fast products of jax-js's wasm backend need it; later versions of V8 have it on.
  setFlagsFromString('--experimental-wasm-relaxed-simd');
  useThreads(threads);
}

/** Loads a module that uses jax. */
export function withJax<T>(threads: number, load: () => Promise<T>): Promise<T> {
  prepareJax(threads);
  return loadTraining(load);
}

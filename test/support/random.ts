// Uniform numbers in [0, 1) from a seed: the generator that training uses, under its usual name.
export { randomFrom as mulberry32 } from '../../src/train/random.ts';

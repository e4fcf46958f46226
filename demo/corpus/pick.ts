import type { Random } from '../../src/train/random.ts';

/** One of a list. */
export function pick<T>(random: Random, list: readonly T[]): T {
  return list[Math.floor(random() * list.length)]!;
}

/** `n` different ones of a list, in random order. */
export function pickSome<T>(random: Random, list: readonly T[], n: number): T[] {
  const left = [...list];
  return Array.from({ length: n }, () => left.splice(Math.floor(random() * left.length), 1)[0]!);
}

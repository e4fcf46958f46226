import { profileBlocks } from '../bench/measure.ts';
import type { Runner } from '../engine/runner.ts';
import type { Plan } from '../model/spec.ts';
import { opensFeedForward } from './stack.ts';

/** GPU time of a block's two halves, microseconds. */
export interface HalfTimes {
  /** Attention or a linear map, with its norm. */
  mixer: number;
  mlp: number;
}

/** Rounds that the times are means of: browsers round timestamps (Chrome: to 100 us). */
const ROUNDS = 16;

/**
 * GPU time of each block of a plan for one token at a position, by timestamp-query.
 * @returns by layer; undefined when the device has no timestamp-query
 */
export async function timeBlocks(
  runner: Runner,
  plan: Plan,
  position: number,
): Promise<Map<number, HalfTimes> | undefined> {
  const launches = await profileBlocks(runner, plan, [0], position, ROUNDS);
  if (!launches) return undefined;
  const times = new Map<number, HalfTimes>(plan.map(({ layer }) => [layer, { mixer: 0, mlp: 0 }]));
  let half: keyof HalfTimes = 'mixer';
  let last: number | undefined;
  for (const launch of launches) {
    const { block, nanoseconds } = launch;
    if (block === undefined) continue;
    // The mixer's launches, then the feed-forward's.
    if (opensFeedForward(launch)) half = 'mlp';
    else if (block !== last) half = 'mixer';
    last = block;
    times.get(block)![half] += nanoseconds / 1000;
  }
  return times;
}

// The model of speed: how long launches should take on a GPU of which only public figures are known. See docs/speed.md.
import { COUNTS } from './counts.ts';
import type { GpuFigures } from './gpus.ts';
import type { Counts, Work } from './work.ts';

/** Share of the memory's bandwidth that reads reach at best, and of a unit's instructions that code issues. */
export const REACHED_BANDWIDTH = 0.8;
export const REACHED_ISSUE = 0.7;
/** Microseconds that a load takes under way, and threads that a unit keeps for each lane. */
export const LOAD_MICROSECONDS = 0.6;
export const THREADS_A_LANE = 16;
/** Threads for each lane from which a unit issues without waiting. */
export const BUSY_THREADS_A_LANE = 4;
/** Milliseconds until a token that was chosen is on the CPU. */
export const READ_BACK_MS = 1;

/** Of kernels that nothing is counted of. */
const USUAL: Counts = { instructions: 2, bytesInFlight: 64 };

/** What a launch's time is made of, in microseconds; the larger of `memory` and `arithmetic` counts, behind `launch`. */
export interface Expected {
  launch: number;
  memory: number;
  arithmetic: number;
  total: number;
}

export function expectedOf(
  work: Work,
  gpu: GpuFigures,
  counts: Counts = COUNTS[work.row] ?? USUAL,
): Expected {
  const { bytes, multiplyAdds, workgroups, threads } = work;
  const lanes = gpu.units * gpu.lanes;
  const running = Math.min(workgroups * threads, THREADS_A_LANE * lanes);
  // Bytes a microsecond: what the memory gives, or what loads under way bring.
  const rate = Math.min(
    1e3 * gpu.gigabytesPerSecond * REACHED_BANDWIDTH,
    (running * counts.bytesInFlight) / LOAD_MICROSECONDS,
  );
  const busy = Math.min(1, running / (BUSY_THREADS_A_LANE * lanes));
  const issued = 1e3 * gpu.gigahertz * lanes * REACHED_ISSUE * busy;
  const launch = gpu.launchMicroseconds;
  const memory = bytes / rate;
  const arithmetic = (multiplyAdds * counts.instructions) / issued;
  return { launch, memory, arithmetic, total: launch + Math.max(memory, arithmetic) };
}

/** Of launches one after the other; `memory` and `arithmetic` are of those that they bound. */
export function expectedOfAll(works: readonly Work[], gpu: GpuFigures): Expected {
  const sum: Expected = { launch: 0, memory: 0, arithmetic: 0, total: 0 };
  for (const work of works) {
    const { launch, memory, arithmetic, total } = expectedOf(work, gpu);
    sum.launch += launch;
    if (memory >= arithmetic) sum.memory += memory;
    else sum.arithmetic += arithmetic;
    sum.total += total;
  }
  return sum;
}

/** What was measured of work against the GPU's figures: GB/s, and shares of its bandwidth and of its arithmetic in f32. */
export function reached(
  { bytes, multiplyAdds }: Pick<Work, 'bytes' | 'multiplyAdds'>,
  microseconds: number,
  gpu: GpuFigures | undefined,
): { gigabytesPerSecond: number; bandwidth?: number; arithmetic?: number } {
  const gigabytesPerSecond = bytes / microseconds / 1e3;
  if (!gpu) return { gigabytesPerSecond };
  return {
    gigabytesPerSecond,
    bandwidth: gigabytesPerSecond / gpu.gigabytesPerSecond,
    arithmetic: multiplyAdds / microseconds / (1e3 * gpu.gigahertz * gpu.units * gpu.lanes),
  };
}

import type { Gpu } from '../../gpu/device.ts';
import { defaultTuning, reduceInclude } from '../../kernels/tuning.ts';

/** Threads of a workgroup, of kernels whose threads work alone. */
export const WG = 64;

/** How threads share a row. */
export function rowLanes(gpu: Gpu): {
  imports: { REDUCE: string };
  constants: { WG: number; LANES: number };
} {
  const { workgroup, lanes } = defaultTuning(gpu).matvec;
  return { imports: { REDUCE: reduceInclude(gpu, lanes) }, constants: { WG: workgroup, LANES: lanes } };
}

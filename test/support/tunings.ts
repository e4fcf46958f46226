import type { Tuning } from '../../src/kernels/tuning.ts';

/** What GPUs get by default, with small splits, so that software adapters test it too. */
export const forGpus: Partial<Tuning> = {
  matvec: { workgroup: 256, lanes: 64 },
  wide: 'tiled',
  attention: 'cooperative',
  wideAttention: 'tiled',
  split: 16,
  vocabulary: 256,
  wideFrom: 5,
};

/** What software adapters get, with small splits. */
export const forSoftware: Partial<Tuning> = {
  matvec: { workgroup: 16, lanes: 1 },
  wide: 'matvec',
  attention: 'direct',
  wideAttention: 'direct',
  split: 16,
  vocabulary: 16,
  wideFrom: 5,
};

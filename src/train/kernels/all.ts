import type { Kernel } from '../../gpu/kernel.ts';
import { ADAMW, CLIP, SUM_SQUARES } from './adamw.ts';
import { ADD_INTO, SCALE } from './elements.ts';
import { HIDDEN_LOSS, ROW_LOSS } from './loss.ts';
import { MATMUL_LANES, MATMUL_TILED } from './matmul.ts';

/** Every kernel of training alone. */
export const TRAIN_KERNELS: readonly Kernel[] = [
  MATMUL_LANES,
  MATMUL_TILED,
  ROW_LOSS,
  HIDDEN_LOSS,
  SUM_SQUARES,
  CLIP,
  ADAMW,
  ADD_INTO,
  SCALE,
];

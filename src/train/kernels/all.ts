import type { Kernel } from '../../gpu/kernel.ts';
import { ADAMW, CLIP, SUM_SQUARES } from './adamw.ts';
import {
  ATTENTION_KEYS,
  ATTENTION_KEYS_TILED,
  ATTENTION_QUERIES,
  ATTENTION_QUERIES_TILED,
  ATTENTION_TILED,
  TRAIN_ATTENTION,
} from './attention.ts';
import { COLUMN_SUMS } from './columns.ts';
import { ADD_INTO } from './elements.ts';
import { GATHER, SCATTER } from './embed.ts';
import { INPUTS_BACKWARD, TRAIN_INPUTS } from './inputs.ts';
import { HIDDEN_LOSS, ROW_LOSS } from './loss.ts';
import { MATMUL_LANES, MATMUL_TILED } from './matmul.ts';
import { NORM_BACKWARD, TRAIN_NORM } from './norm.ts';
import { TRAIN_ROPE } from './rope.ts';
import { SWIGLU, SWIGLU_BACKWARD } from './swiglu.ts';

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
  TRAIN_NORM,
  NORM_BACKWARD,
  COLUMN_SUMS,
  SWIGLU,
  SWIGLU_BACKWARD,
  TRAIN_ROPE,
  TRAIN_ATTENTION,
  ATTENTION_QUERIES,
  ATTENTION_KEYS,
  ATTENTION_TILED,
  ATTENTION_QUERIES_TILED,
  ATTENTION_KEYS_TILED,
  GATHER,
  SCATTER,
  TRAIN_INPUTS,
  INPUTS_BACKWARD,
];

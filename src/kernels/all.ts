import type { Kernel } from '../gpu/kernel.ts';
import { ATTENTION, ATTENTION_PLAIN, ATTENTION_REDUCE, ATTENTION_TILED } from './attention.ts';
import { ATTENTION_DECODE, ATTENTION_DECODE_REDUCE } from './attention-decode.ts';
import { CONV } from './conv.ts';
import { CANDIDATES, DRAW } from './draw.ts';
import { EMBED } from './embed.ts';
import { INPUTS } from './inputs.ts';
import { SCORE, TOP_LOGPROBS } from './logprobs.ts';
import { LORA_ADD, LORA_GATE } from './lora.ts';
import { MATMUL, MATVEC } from './matmul.ts';
import { MATVEC_LANES } from './matvec-lanes.ts';
import { MOMENT_VECTORS, MOMENTS } from './moments.ts';
import { NORM } from './norm.ts';
import { POOL } from './pool.ts';
import { ROPE } from './rope.ts';
import { ARGMAX } from './sample.ts';
import { ADJUST, SAMPLE } from './sampling.ts';
import { ARGMAX_SLICES, SLICES } from './slices.ts';
import { SYNTHESISE } from './synthesise.ts';
import { SCORE_SLICES, TOP_MERGE, TOP_SLICES } from './tops.ts';

/** Every kernel that there is. */
export const KERNELS: readonly Kernel[] = [
  EMBED,
  MATVEC,
  MATVEC_LANES,
  MATMUL,
  LORA_ADD,
  LORA_GATE,
  NORM,
  ROPE,
  CONV,
  INPUTS,
  ATTENTION,
  ATTENTION_DECODE,
  ATTENTION_DECODE_REDUCE,
  ATTENTION_TILED,
  ATTENTION_PLAIN,
  ATTENTION_REDUCE,
  ARGMAX,
  SAMPLE,
  ADJUST,
  TOP_LOGPROBS,
  SCORE,
  SLICES,
  ARGMAX_SLICES,
  CANDIDATES,
  DRAW,
  TOP_SLICES,
  TOP_MERGE,
  SCORE_SLICES,
  POOL,
  MOMENTS,
  MOMENT_VECTORS,
  SYNTHESISE,
];

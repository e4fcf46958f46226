// Written by `npm run check:gpu -- --write`: what the compiler for RDNA 3 makes of the kernels that models launch.
import type { Counts } from './work.ts';

/** By row of kernels: the worst of its kernels. */
export const COUNTS: Readonly<Record<string, Counts>> = {
  argmax: { instructions: 0, bytesInFlight: 16 },
  attention: { instructions: 1.16, bytesInFlight: 32 },
  attention_decode: { instructions: 5.01, bytesInFlight: 64 },
  attention_decode_reduce: { instructions: 0, bytesInFlight: 144 },
  attention_reduce: { instructions: 2.6, bytesInFlight: 24 },
  attention_tiled: { instructions: 1.63, bytesInFlight: 16 },
  'embed f16': { instructions: 0, bytesInFlight: 16 },
  'embed f32': { instructions: 0, bytesInFlight: 16 },
  'embed q8': { instructions: 0, bytesInFlight: 12 },
  'matmul f16': { instructions: 1.13, bytesInFlight: 48 },
  'matmul f32': { instructions: 1.07, bytesInFlight: 32 },
  'matmul q4': { instructions: 1.13, bytesInFlight: 40 },
  'matmul q8': { instructions: 1.13, bytesInFlight: 44 },
  'matvec f16': { instructions: 2.09, bytesInFlight: 96 },
  'matvec f16 4 rows': { instructions: 1.81, bytesInFlight: 192 },
  'matvec f32': { instructions: 2.31, bytesInFlight: 80 },
  'matvec f32 4 rows': { instructions: 1.8, bytesInFlight: 128 },
  'matvec q4': { instructions: 6.38, bytesInFlight: 64 },
  'matvec q4 4 rows': { instructions: 2.88, bytesInFlight: 160 },
  'matvec q8': { instructions: 6.28, bytesInFlight: 80 },
  'matvec q8 4 rows': { instructions: 2.84, bytesInFlight: 176 },
  norm: { instructions: 1.75, bytesInFlight: 16 },
  rope: { instructions: 25.75, bytesInFlight: 8 },
  sample: { instructions: 0, bytesInFlight: 4 },
};

import { bf16ToF32, f32ArrayToBf16 } from '../formats/float.ts';
import type { ValueFormat } from './format.ts';

/** Values rounded to bf16, in pairs. */
export const bf16: ValueFormat = {
  reader: 'blocks/weight_bf16',
  load: 'vec4<u32>',
  unit: 8,
  bits: 16,
  perBlock: 0,
  level: 1,
  table: 'f16',
  refusal: 'bf16 cannot hold',
  firstRefused: () => -1,
  encode: (padded) => ({ codes: f32ArrayToBf16(padded), scales: undefined }),
  decode: (codes, _, cols) => Float32Array.from(new Uint16Array(codes, 0, cols), bf16ToF32),
};

import { f16ToF32, f32ArrayToF16, firstF16Overflow } from '../formats/float.ts';
import type { ValueFormat } from './format.ts';

/** Values rounded to f16, in pairs. */
export const f16: ValueFormat = {
  reader: 'weight_f16',
  load: 'vec4<u32>',
  unit: 8,
  bits: 16,
  perBlock: 0,
  level: 1,
  table: 'f16',
  refusal: 'f16 cannot hold',
  firstRefused: firstF16Overflow,
  encode: (padded) => ({ codes: f32ArrayToF16(padded), scales: undefined }),
  decode: (codes, _, cols) => Float32Array.from(new Uint16Array(codes, 0, cols), f16ToF32),
};

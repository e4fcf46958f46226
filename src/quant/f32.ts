import type { ValueFormat } from './format.ts';

/** Values as they are. */
export const f32: ValueFormat = {
  reader: 'weight_f32',
  load: 'vec4f',
  unit: 4,
  bits: 32,
  perBlock: 0,
  level: 1,
  table: 'f32',
  refusal: 'f32 cannot hold',
  firstRefused: () => -1,
  encode: (padded) => ({ codes: padded, scales: undefined }),
  decode: (codes, _, cols) => new Float32Array(codes, 0, cols),
};

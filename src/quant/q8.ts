import { f16ToF32, f32ToF16 } from '../formats/float.ts';
import { BLOCK, BLOCKED, decodeBlocks, extremeOf, type PackedRows, type WeightFormat } from './format.ts';

/** Symmetric, in blocks of 32 along the input: code = round(w / scale), scale = |w|max / 127 as f16. */
function encode(values: Float32Array): PackedRows {
  const scales = new Uint16Array(values.length / BLOCK);
  const codes = new Int8Array(values.length);
  for (let block = 0; block < scales.length; block++) {
    const at = block * BLOCK;
    const half = f32ToF16(Math.abs(extremeOf(values, at)) / 127);
    scales[block] = half;
    const scale = f16ToF32(half);
    const inverse = scale === 0 ? 0 : 1 / scale;
    // Cutting off the fraction of what is not negative rounds, and takes a third of the time of Math.round.
    for (let i = at; i < at + BLOCK; i++)
      codes[i] = Math.max(0, Math.min(254, (values[i]! * inverse + 127.5) | 0)) - 127;
  }
  return { codes, scales };
}

/** Signed bytes with a scale for each block. */
export const q8: WeightFormat = {
  ...BLOCKED,
  reader: 'weight_q8',
  load: 'vec2<u32>',
  bits: 8,
  signed: true,
  perBlock: 1,
  level: 127,
  encode,
  decode(codes, scales, cols) {
    const bytes = new Int8Array(codes);
    return decodeBlocks((i) => bytes[i]!, scales, cols, 1);
  },
};

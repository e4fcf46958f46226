import { f16ToF32, f32ToF16 } from '../formats/float.ts';
import { BLOCK, BLOCKED, decodeBlocks, extremeOf, type PackedRows, type ValueFormat } from './format.ts';
import { Q4_BLOCKS } from './q4-blocks.ts';

/** What the value of greatest magnitude may be in units of the scale: past -8 it is clipped, for the sake of the others. */
const EXTREMES = [-8.8, -8.4, -8, -7.6, -7.2, -6.8];

/**
 * The scale of least squared error among those that the codes of each candidate ask for. With codes c of values w it is
 * sum(wc) / sum(cc), and the squared error sum(ww) - sum(wc)^2 / sum(cc).
 */
function scale4(values: Float32Array, at: number): number {
  const extreme = extremeOf(values, at);
  let scale = 0;
  let best = 0;
  if (extreme === 0) return 0;
  for (const units of EXTREMES) {
    const inverse = units / extreme;
    let wc = 0;
    let cc = 0;
    for (let i = at; i < at + BLOCK; i++) {
      const w = values[i]!;
      // Never below -0.3 + 8, so that cutting off the fraction rounds.
      const code = Math.min(15, (w * inverse + 8.5) | 0) - 8;
      wc += w * code;
      cc += code * code;
    }
    const explained = (wc * wc) / cc;
    if (explained <= best) continue;
    best = explained;
    scale = wc / cc;
  }
  return scale;
}

/** Codes 0..15, two a byte, and the scale of `scale4`, whose sign may be either; a code of 8 is zero. */
function encode(values: Float32Array): PackedRows {
  const scales = new Uint16Array((2 * values.length) / BLOCK);
  const codes = new Uint8Array(values.length / 2);
  for (let block = 0; block < values.length / BLOCK; block++) {
    const at = block * BLOCK;
    const half = f32ToF16(scale4(values, at));
    const scale = f16ToF32(half);
    scales[2 * block] = half;
    scales[2 * block + 1] = f32ToF16(-8 * scale);
    const inverse = scale === 0 ? 0 : 1 / scale;
    const code = (i: number): number => Math.max(0, Math.min(15, (values[i]! * inverse + 8.5) | 0));
    for (let i = at; i < at + BLOCK; i += 2) codes[i / 2] = code(i) | (code(i + 1) << 4);
  }
  return { codes, scales };
}

/** Codes of four bits with a scale and a minimum for each block. */
export const q4: ValueFormat = {
  ...BLOCKED,
  reader: 'weight_q4',
  load: 'u32',
  bits: 4,
  signed: false,
  perBlock: 2,
  level: 8,
  encode,
  blocks: Q4_BLOCKS,
  decode(codes, scales, cols) {
    const bytes = new Uint8Array(codes);
    return decodeBlocks((i) => (bytes[i >> 1]! >> (4 * (i % 2))) & 15, scales, cols, 2);
  },
};

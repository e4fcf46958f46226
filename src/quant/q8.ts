import { f16ToF32, f32ToF16 } from '../formats/float.ts';
import {
  BLOCK,
  BLOCKED,
  blockByBlock,
  decodeBlocks,
  F16_MOST,
  firstPast,
  type PackedRows,
  type ValueFormat,
} from './format.ts';

/** The code of a block's greatest magnitude. */
const TOP = 127;

/** What is added to codes, so that bytes have no sign: GPUs read them faster. */
const MIDDLE = 128;

/** Symmetric, in blocks of 32 along the input: code = round(w / scale), scale = |w|max / 127 as f16. */
function encode(values: Float32Array): PackedRows {
  const scales = new Uint16Array(values.length / BLOCK);
  const codes = new Uint8Array(values.length);
  for (let block = 0; block < scales.length; block++) {
    const at = block * BLOCK;
    let greatest = 0;
    for (let i = at; i < at + BLOCK; i++) greatest = Math.max(greatest, Math.abs(values[i]!));
    const half = f32ToF16(greatest / TOP);
    scales[block] = half;
    const scale = f16ToF32(half);
    const inverse = scale === 0 ? 0 : 1 / scale;
    // Cutting off the fraction of what is not negative rounds, and takes a third of the time of Math.round.
    for (let i = at; i < at + BLOCK; i++)
      codes[i] = Math.max(0, Math.min(254, (values[i]! * inverse + 127.5) | 0)) + (MIDDLE - TOP);
  }
  return { codes, scales };
}

/** GGUF's Q8_0, of 17 halves: the scale, and two codes in each of the others. */
const repack = blockByBlock(
  17,
  (blocks) => ({ codes: new Uint16Array(16 * blocks), scales: new Uint16Array(blocks) }),
  ({ codes, scales }, block, from, at) => {
    scales[block] = from[at]!;
    for (let i = 0; i < 16; i++) codes[16 * block + i] = from[at + 1 + i]! ^ (MIDDLE * 0x0101);
  },
);

/** Bytes, code + 128, with a scale for each block. */
export const q8: ValueFormat = {
  ...BLOCKED,
  reader: 'blocks/weight_q8',
  load: 'vec2<u32>',
  bits: 8,
  perBlock: 1,
  level: TOP,
  refusal: 'q8 cannot hold',
  firstRefused: (values) => firstPast(values, TOP * F16_MOST),
  encode,
  blocks: { Q8_0: { halves: [0], repack } },
  decode(codes, scales, cols) {
    const bytes = new Uint8Array(codes);
    return decodeBlocks((i) => bytes[i]! - MIDDLE, scales, cols, 1);
  },
};

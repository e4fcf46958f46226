import { f16ToF32, f32ToF16 } from '../formats/float.ts';
import { BLOCK, BLOCKED, F16_MOST, firstPast, type PackedRows, type ValueFormat } from './format.ts';

/** Values along a half of a block. */
const HALF = 16;
const TOP = 15;

/** What may be cut off a grid at either end, as a share of the values' range: clipped, for the sake of the others. */
const CUT = 0.03;

/** The sign of a block's scale: set where its halves have grids of their own. */
const SPLIT = 0x8000;
/** Bits of a fraction of a half's scale, of its place of zero, and the exponent of the least scale. */
const FRACTION = 4;
const PLACE = 3;
const LEAST = -14;

/** Fewer rows tell nothing of their columns. */
const FEW_ROWS = 16;
const MOST_WEIGHT = 4096;

/**
 * How much an error in each column matters. Without activations the weights tell of them: training leaves small weights to
 * large inputs, and single large weights in the columns of the few massive ones.
 */
function importanceOf(values: Float32Array, perRow: number): Float32Array {
  const rows = values.length / perRow;
  if (rows < FEW_ROWS) return new Float32Array(perRow).fill(1);
  const sums = new Float64Array(perRow);
  const peaks = new Float64Array(perRow);
  for (let at = 0; at < values.length; at += perRow)
    for (let i = 0; i < perRow; i++) {
      const square = values[at + i]! * values[at + i]!;
      sums[i]! += square;
      if (square > peaks[i]!) peaks[i] = square;
    }
  const mean = sums.reduce((all, sum) => all + sum, 0) / perRow;
  return Float32Array.from(sums, (sum, i) => {
    const peak = (peaks[i]! * rows) / sum;
    return sum === 0 ? 1 : Math.min(MOST_WEIGHT, Math.max(1 / MOST_WEIGHT, (peak * peak * mean) / sum));
  });
}

/** A grid `scale * code + low`. */
interface Grid {
  scale: number;
  low: number;
}

/** The numbers of a run of values that the search goes through again and again. */
const weighted = new Float64Array(BLOCK);

/**
 * The grid of least squared error among those that the codes of each cut ask for: with codes c of values w, the regression
 * of w on c, whose scale is cov(w, c) / var(c); it explains cov(w, c)^2 / var(c).
 * @param weights how much each value's error matters, from `column` on
 */
function gridOf(
  values: Float32Array,
  at: number,
  size: number,
  least: number,
  most: number,
  weights: Float32Array,
  column: number,
  round: (scale: number) => number,
): Grid {
  let sum = 0;
  let mean = 0;
  for (let i = 0; i < size; i++) {
    const weight = weights[column + i]!;
    weighted[i] = weight * values[at + i]!;
    sum += weight;
    mean += weighted[i]!;
  }
  mean /= sum;
  let best = -1;
  let scale = 0;
  let codeMean = 0;
  for (let cut = 0; cut < 4; cut++) {
    const below = cut % 2 ? CUT : 0;
    const above = cut > 1 ? CUT : 0;
    const step = ((most - least) * (1 - below - above)) / TOP;
    const inverse = 1 / step;
    // Never below -1, so that cutting off the fraction rounds.
    const offset = 0.5 - (least + below * (most - least)) * inverse;
    let c = 0;
    let wc = 0;
    let cc = 0;
    for (let i = 0; i < size; i++) {
      const code = Math.min(TOP, (values[at + i]! * inverse + offset) | 0);
      const part = weights[column + i]! * code;
      c += part;
      cc += part * code;
      wc += weighted[i]! * code;
    }
    c /= sum;
    const covariance = wc - mean * c * sum;
    const variance = cc - c * c * sum;
    const explained = variance > 0 ? (covariance * covariance) / variance : 0;
    if (explained <= best) continue;
    best = explained;
    scale = explained > 0 ? covariance / variance : step;
    codeMean = c;
  }
  scale = round(scale);
  return { scale, low: mean - scale * codeMean };
}

const bits = new Float32Array(1);
const word = new Uint32Array(bits.buffer);

/** The nearest scale of a half, as its eight bits: four of exponent, four of fraction. */
function scaleBits(scale: number): number {
  bits[0] = scale;
  const rounded = (word[0]! + (1 << (22 - FRACTION))) >>> (23 - FRACTION);
  return rounded - ((127 + LEAST) << FRACTION);
}

function scaleOfBits(code: number): number {
  word[0] = (code + ((127 + LEAST) << FRACTION)) << (23 - FRACTION);
  return bits[0]!;
}

/** A half's grid from its sixteen bits. */
function halfGrid(half: number): Grid {
  const scale = scaleOfBits(half & 255);
  return { scale, low: (-scale * ((half >> 8) & 127)) / 2 ** PLACE };
}

/** Rows as 4-bit codes, two a byte, and a word for each block of 32. */
function encode(values: Float32Array, perRow: number): PackedRows {
  const weights = importanceOf(values, perRow);
  const pairs = new Uint16Array(values.length / HALF);
  const codes = new Uint8Array(values.length / 2);
  const write = (at: number, size: number, { scale, low }: Grid): void => {
    const inverse = scale === 0 ? 0 : 1 / scale;
    const code = (i: number): number => Math.max(0, Math.min(TOP, ((values[i]! - low) * inverse + 0.5) | 0));
    for (let i = at; i < at + size; i += 2) codes[i / 2] = code(i) | (code(i + 1) << 4);
  };
  const extremes = (at: number, size: number): [number, number] => {
    let least = values[at]!;
    let most = least;
    for (let i = at + 1; i < at + size; i++) {
      if (values[i]! < least) least = values[i]!;
      if (values[i]! > most) most = values[i]!;
    }
    return [least, most];
  };
  /** The grid of a half, or undefined where its bits cannot hold it. */
  const half = (at: number, ends: [number, number]): number | undefined => {
    const [least, most] = ends;
    if (least > 0 || most < 0) return undefined;
    if (least === most) return 0;
    const { scale, low } = gridOf(values, at, HALF, least, most, weights, at % perRow, (found) =>
      scaleOfBits(Math.max(0, scaleBits(found))),
    );
    const code = scaleBits(scale);
    const place = Math.round((-low / scale) * 2 ** PLACE);
    return code < 1 || code > 255 || place < 0 || place > 127 ? undefined : code | (place << 8);
  };
  for (let at = 0; at < values.length; at += BLOCK) {
    const pair = at / HALF;
    const [first, second] = [extremes(at, HALF), extremes(at + HALF, HALF)];
    const ends: [number, number] = [Math.min(first[0], second[0]), Math.max(first[1], second[1])];
    const plain: Grid = {
      scale: f16ToF32(f32ToF16((ends[1] - ends[0]) / TOP)),
      low: f16ToF32(f32ToF16(ends[0])),
    };
    let grid = plain;
    if (!onGrid(values, at, plain)) {
      const halves = [half(at, first), half(at + HALF, second)] as const;
      if (halves[0] !== undefined && halves[1] !== undefined) {
        pairs[pair] = halves[0] | SPLIT;
        pairs[pair + 1] = halves[1];
        write(at, HALF, halfGrid(halves[0]));
        write(at + HALF, HALF, halfGrid(halves[1]));
        continue;
      }
      if (ends[1] > ends[0])
        grid = gridOf(values, at, BLOCK, ends[0], ends[1], weights, at % perRow, (found) =>
          f16ToF32(f32ToF16(found)),
        );
    }
    pairs[pair] = f32ToF16(grid.scale);
    // The best one may be past f16 where no value is.
    pairs[pair + 1] = f32ToF16(Math.max(-F16_MOST, grid.low));
    write(at, BLOCK, { scale: grid.scale, low: f16ToF32(pairs[pair + 1]!) });
  }
  return { codes, scales: pairs };
}

/** Whether a block's values are those of a grid, even when rounded to bf16: they were kept in four bits before. */
function onGrid(values: Float32Array, at: number, { scale, low }: Grid): boolean {
  if (scale === 0) return values[at] === 0;
  const slack = scale / 10;
  for (let i = at; i < at + BLOCK; i++) {
    const code = ((values[i]! - low) / scale + 0.5) | 0;
    if (Math.abs(values[i]! - low - scale * code) > slack) return false;
  }
  return true;
}

/**
 * Codes of four bits, and 32 bits for each block of 32: a scale and a minimum in f16; or, where the scale has a sign, for each
 * half eight bits of scale and seven of the place of zero among the codes, in eighths.
 */
export const q4: ValueFormat = {
  ...BLOCKED,
  reader: 'blocks/weight_q4',
  load: 'u32',
  bits: 4,
  perBlock: 2,
  level: 8,
  refusal: 'q4 cannot hold',
  firstRefused: (values) => firstPast(values, F16_MOST),
  encode,
  decode(codes, scales, cols) {
    const bytes = new Uint8Array(codes);
    const pairs = new Uint16Array(scales!);
    const values = new Float32Array(cols);
    for (let i = 0; i < cols; i++) {
      const pair = 2 * Math.floor(i / BLOCK);
      const split = (pairs[pair]! & SPLIT) !== 0;
      const { scale, low } = split
        ? halfGrid(pairs[Math.floor(i / HALF)]!)
        : { scale: f16ToF32(pairs[pair]!), low: f16ToF32(pairs[pair + 1]!) };
      values[i] = ((bytes[i >> 1]! >> (4 * (i % 2))) & 15) * scale + low;
    }
    return values;
  },
};

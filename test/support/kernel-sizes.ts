// Odd sizes of launches, by the names of constants: what test/support/kernel-cases.ts makes its cases of.
import type { Fixed, Kernel, ShaderSpec } from '../../src/gpu/kernel.ts';
import { keySize } from '../../src/kernels/qkv.ts';
import { gainSize, stride } from '../../src/kernels/tensor.ts';

/** Sizes that are multiples of nothing. */
export interface Odd {
  rows: number;
  cols: number;
  outputs: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  vocab: number;
  wideFrom: number;
  window: number;
  /** The KV cache keeps the window and the rows that a sequence has in the launch. */
  ring?: true;
  top: number;
}

const SEQUENCES = 3;
const CONTEXT = 53;
const SPLIT = 16;
/** Attention of few rows goes over chunks of 64 or 128 positions. */
const LONG = 331;
export const longer = ({ name }: Kernel): boolean => name.startsWith('attention_decode');
export const contextOf = (kernel: Kernel): number => (longer(kernel) ? LONG : CONTEXT);
const windowOf = ({ odd, kernel }: Pick<Place, 'odd' | 'kernel'>): number =>
  longer(kernel) ? Math.min(15 * odd.window, LONG) : odd.window;

export const ODD: readonly Odd[] = [
  {
    rows: 6,
    cols: 37,
    outputs: 45,
    heads: 3,
    kvHeads: 1,
    headDim: 12,
    vocab: 67,
    wideFrom: 9,
    window: 53,
    top: 0,
  },
  {
    rows: 13,
    cols: 129,
    outputs: 83,
    heads: 10,
    kvHeads: 2,
    headDim: 20,
    vocab: 301,
    wideFrom: 5,
    window: 21,
    top: 7,
  },
  // Rings.
  {
    rows: 14,
    cols: 53,
    outputs: 37,
    heads: 6,
    kvHeads: 2,
    headDim: 12,
    vocab: 101,
    wideFrom: 5,
    window: 9,
    ring: true,
    top: 3,
  },
  {
    rows: 4,
    cols: 21,
    outputs: 29,
    heads: 3,
    kvHeads: 1,
    headDim: 20,
    vocab: 131,
    wideFrom: 9,
    window: 18,
    ring: true,
    top: 0,
  },
];

/** Query heads, KV heads and sizes of a head that attention has more of: groups and vectors that do not fill what shares them. */
export const HEADS: readonly Partial<Odd>[] = [
  [2, 2, 8],
  [7, 1, 24],
  [3, 1, 80],
  [6, 2, 64],
  [2, 1, 128],
  [5, 1, 64],
  [2, 1, 256],
].map(([heads, kvHeads, headDim]) => ({ heads: heads!, kvHeads: kvHeads!, headDim: headDim! }));

/** Kernels that take more rows at a time. */
const ROWS: Record<string, number> = {
  matmul: 67,
  'train/norm': 35,
  'train/norm_backward': 35,
  'train/attention': 66,
  'train/attention_queries': 66,
  'train/attention_keys': 66,
  'train/attention_tiled': 66,
  'train/attention_queries_tiled': 66,
  'train/attention_keys_tiled': 66,
  attention_tiled: 45,
  norm: 35,
  slices: 5,
  candidates: 7,
  draw: 7,
  attention_decode: 7,
  attention_decode_reduce: 7,
};

/** Attention that writes K and V of its rows has one of each sequence. */
export const writesOwn = ({ QUERY }: Fixed): boolean => QUERY === 'features/query_own';

export const rowsOf = ({ odd, kernel, fixed }: Place): number =>
  writesOwn(fixed) ? SEQUENCES : (ROWS[kernel.name] ?? odd.rows);
const rowsEach = (rows: number): number => Math.ceil(rows / SEQUENCES);

type Place = { odd: Odd; fixed: Fixed; kernel: Kernel };

/** Heads of up to four vectors have two positions a thread. */
const splitOf = ({ odd, fixed, kernel }: Place): number => {
  if (!longer(kernel)) return SPLIT;
  return odd.headDim / keySize(odd.headDim, fixed.KV_READ === 'gpu/kv_vector_f16') <= 4 ? 128 : 64;
};
/** Most parts of a sequence, fewer than it has chunks. */
const PARTS = 3;

const qkvRows = ({ odd }: Place): number => (odd.heads + 2 * odd.kvHeads) * odd.headDim;
/** Rows of blocks are whole blocks. */
const colsOf = ({ odd, fixed }: Place): number =>
  /_k$/.test(String(fixed.WEIGHT)) ? 256 * Math.ceil(odd.cols / 256) : odd.cols;
const isQkv = ({ fixed }: Place): boolean => fixed.OUT === 'out_qkv';

/** Of kernels that take slices of it, some slices. */
function vocabOf({ odd, fixed }: Place): number {
  return fixed.TRIPS === undefined ? odd.vocab : 11 * odd.vocab + 3;
}

/** Positions that a linear map sees. */
const inputsOf = ({ odd }: Pick<Place, 'odd'>): number => 2 + (odd.rows % 3);
/** Some numbers, as many as are read at a time or more. */
const ofNumbers = ({ fixed }: Place, count: number): number =>
  fixed.NUMBERS === 'by_four' ? 4 * Math.ceil(count / 4) : count - ((count + 1) % 2);

/** Sizes of a matrix product: multiples of four where it reads or writes rows by four. */
const isProduct = ({ name }: Kernel): boolean => name.startsWith('train/matmul');
function ofProduct({ odd, fixed: { A, B, OUT, A_TURNED, B_TURNED } }: Place): {
  M: number;
  N: number;
  K: number;
} {
  const by = (four: boolean, count: number): number => (four ? 4 * Math.ceil(count / 4) : count);
  const [aFour, bFour, outFour] = [A === 'a_four', B !== 'b_one', OUT === 'out_four'];
  return {
    M: by(aFour && Boolean(A_TURNED), 5 * odd.rows + 1),
    N: by(outFour || (bFour && !B_TURNED), odd.outputs),
    K: by((aFour && !A_TURNED) || (bFour && Boolean(B_TURNED)), odd.cols),
  };
}

/** Each constant that is a size. */
export const SIZES: Record<string, (place: Place) => number> = {
  K: (place) => (isProduct(place.kernel) ? ofProduct(place).K : colsOf(place)),
  UNITS: (place) => stride(colsOf(place)) / Number(place.fixed.UNIT),
  LANES: ({ odd, fixed }) => Math.min([8, 128, 16, 64][ODD.indexOf(odd)] ?? 32, 32 * Number(fixed.ROWS)),
  SPANS: (place) => stride(colsOf(place)) / Number(place.fixed.SPAN),
  X_STRIDE4: (place) => stride(colsOf(place)) / 4,
  X_STRIDE: (place) =>
    stride(
      place.kernel.name === 'conv'
        ? 3 * place.odd.cols
        : place.kernel.name === 'lora_gate'
          ? 2 * place.odd.outputs
          : qkvRows(place),
    ),
  SEEN_STRIDE: ({ odd }) => stride(odd.cols),
  Z_STRIDE: ({ odd }) => stride(odd.cols),
  INPUTS: inputsOf,
  A_STRIDE4: () => 16,
  M: (place) => ofProduct(place).M,
  ROWS: rowsOf,
  COLS: ({ odd }) => odd.cols,
  SLICE: () => 4,
  HALF: ({ odd }) => odd.headDim / 2,
  D4: ({ odd }) => odd.headDim / 4,
  SCALE: () => 0.3,
  LENGTH: (place) => rowsOf(place) / (rowsOf(place) % 2 ? 1 : 2),
  COUNT: (place) => ofNumbers(place, 37 * place.odd.rows),
  HIDDEN: (place) => ofNumbers(place, place.odd.cols),
  MIX: () => 0.7,
  BY: () => 1.5,
  N(place) {
    if (isProduct(place.kernel)) return ofProduct(place).N;
    // A part of a weight: of q, k and v the first head is another's.
    if (isQkv(place)) return qkvRows(place) - place.odd.headDim;
    return place.fixed.OUT === 'out_swiglu' ? 2 * place.odd.outputs : place.odd.outputs;
  },
  ROW0: (place) => (isQkv(place) ? place.odd.headDim : 8),
  BIAS_AT: (place) => (place.fixed.NORM || place.fixed.RANGED ? gainSize(colsOf(place)) : 0),
  OUT_STRIDE: ({ odd, kernel }) =>
    kernel.name === 'inputs'
      ? stride(inputsOf({ odd }) * odd.cols)
      : stride(kernel.name === 'conv' ? odd.cols : 8 + odd.outputs),
  EPS: () => 0.05,
  FACTOR: () => 1.5,
  HEADS: ({ odd }) => odd.heads,
  KV_HEADS: ({ odd }) => odd.kvHeads,
  HEAD_DIM: ({ odd }) => odd.headDim,
  SEQUENCES: () => SEQUENCES,
  CONTEXT: ({ kernel }) => contextOf(kernel),
  CAPACITY: ({ odd, kernel, fixed }) =>
    odd.ring ? windowOf({ odd, kernel }) + rowsEach(rowsOf({ odd, kernel, fixed })) : contextOf(kernel),
  TAPS: ({ odd }) => 2 + (odd.rows % 4),
  Q_STRIDE: ({ odd }) => stride(odd.heads * odd.headDim),
  Q_STRIDE4: ({ odd }) => stride(odd.heads * odd.headDim) / 4,
  OUT_STRIDE4: ({ odd }) => stride(odd.heads * odd.headDim) / 4,
  SPLIT: splitOf,
  SPLITS: ({ kernel, ...place }) =>
    longer(kernel) ? PARTS : Math.ceil(CONTEXT / splitOf({ kernel, ...place })),
  UNSPLIT: splitOf,
  PARTS: () => PARTS,
  // Where sequences are not split, there is nothing to add up.
  WIDE_FROM: ({ odd, kernel }) => (kernel.name === 'attention_reduce' ? 99 : odd.wideFrom),
  WINDOW: windowOf,
  VOCAB: (place) => (place.fixed.NUMBERS ? ofNumbers(place, place.odd.vocab) : vocabOf(place)),
  STRIDE4: (place) => stride('VOCAB' in place.kernel.sizes ? vocabOf(place) : place.odd.cols) / 4,
  MASK_WORDS: (place) => Math.ceil(vocabOf(place) / 32),
  TOP: ({ odd }) => odd.top,
  MATRICES: ({ kernel }) => (kernel.name === 'lora_gate' ? 2 : 3),
  T_STRIDE4: () => stride(4 * LORA_T) / 4,
  // Columns of the first of three matrices, and of the first two.
  SECOND: ({ odd }) => odd.headDim,
  THIRD: ({ odd }) => odd.headDim + 9,
  WIDTH: ({ odd }) => odd.outputs,
  // A weight of several parts.
  PART: () => 32,
};

/** Adapters in turn: vectors of four in A x, and in a row of B, of each matrix. */
export const LORA_RANKS = [1, 3, 2];
const LORA_T = LORA_RANKS.reduce((sum, rank) => sum + rank, 0);
/** The one of the second adapter does not add to the second matrix. */
export const loraRank = (id: number, matrix: number): number =>
  id === 0 || (id === 2 && matrix === 1) ? 0 : (LORA_RANKS[id - 1] ?? 0);

/** Positions at the borders of splits, and one past the cache. */
const BORDERS = [0, 15, 16, 31, 50, 12, CONTEXT];

/** Of rings: the first position of each sequence. */
const RING_STARTS = [44, 12, 3];

/** The same of attention that goes over chunks. */
const LONG_BORDERS = [0, 63, 64, 128, LONG - 1, 200, LONG];
const LONG_RING_STARTS = [290, 170, 18];

/** Token, sequence and position of a row. */
export function rowOf({ kernel, constants, imports }: ShaderSpec, row: number, rows: number): number[] {
  if (Number(constants.CAPACITY) < contextOf(kernel)) {
    // Chunks of several sequences; what a ring has lost of them is NaN, for the twin does not read it.
    const sequence = Math.floor(row / rowsEach(rows));
    const starts = longer(kernel) ? LONG_RING_STARTS : RING_STARTS;
    return [(row * 11) % 60, sequence, starts[sequence]! + (row % rowsEach(rows)), 0];
  }
  // A chunk of one sequence, then decoded rows of several.
  if (kernel.name === 'attention_tiled' && row < 37) return [0, 1, 5 + row, 0];
  const borders = longer(kernel) ? LONG_BORDERS : BORDERS;
  // Of few rows, some of them.
  const border = writesOwn(imports ?? {}) ? 2 * row + (Number(constants.HEADS) % 2) : row % borders.length;
  if (kernel.name.startsWith('attention')) return [0, row % SEQUENCES, borders[border]!, 0];
  if (kernel.name.startsWith('moment')) return [0, 0, 3 + row, 0];
  const position = row === rows - 1 ? CONTEXT : 2 + Math.floor(row / SEQUENCES);
  return [(row * 11) % 60, row % SEQUENCES, position, 0];
}

/** Values and bytes of a block of each type that is read, by ggml's number of the type. Source: ggml's type traits. */
export const TYPES = {
  F32: { id: 0, values: 1, bytes: 4 },
  F16: { id: 1, values: 1, bytes: 2 },
  Q4_0: { id: 2, values: 32, bytes: 18 },
  Q4_1: { id: 3, values: 32, bytes: 20 },
  Q5_0: { id: 6, values: 32, bytes: 22 },
  Q5_1: { id: 7, values: 32, bytes: 24 },
  Q8_0: { id: 8, values: 32, bytes: 34 },
  Q2_K: { id: 10, values: 256, bytes: 84 },
  Q3_K: { id: 11, values: 256, bytes: 110 },
  Q4_K: { id: 12, values: 256, bytes: 144 },
  Q5_K: { id: 13, values: 256, bytes: 176 },
  Q6_K: { id: 14, values: 256, bytes: 210 },
  IQ4_NL: { id: 20, values: 32, bytes: 18 },
  IQ4_XS: { id: 23, values: 256, bytes: 136 },
  BF16: { id: 30, values: 1, bytes: 2 },
} as const;

/** A type of tensors that is read. */
export type GgufType = keyof typeof TYPES;
/** One of them that is stored in blocks. */
export type BlockType = Exclude<GgufType, 'F32' | 'F16' | 'BF16'>;

const BY_ID = new Map(Object.entries(TYPES).map(([name, { id }]) => [id as number, name as GgufType]));

/** Types that are not read, so that errors can name them. */
const OTHERS: Record<number, string> = {
  4: 'Q4_2',
  5: 'Q4_3',
  9: 'Q8_1',
  15: 'Q8_K',
  16: 'IQ2_XXS',
  17: 'IQ2_XS',
  18: 'IQ3_XXS',
  19: 'IQ1_S',
  21: 'IQ3_S',
  22: 'IQ2_S',
  24: 'I8',
  25: 'I16',
  26: 'I32',
  27: 'I64',
  28: 'F64',
  29: 'IQ1_M',
  34: 'TQ1_0',
  35: 'TQ2_0',
  39: 'MXFP4',
  40: 'NVFP4',
};

export const typeOf = (id: number): GgufType | undefined => BY_ID.get(id);

/** What errors call a type that is not read. */
export const otherType = (id: number): string => OTHERS[id] ?? `of the unknown type ${id}`;

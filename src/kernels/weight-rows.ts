// What kernels that read weights have in common: shaders/shared/weight_*.wgsl.
import { type Asked, type Binding, type Fixed, reads, type TwinLaunch } from '../gpu/kernel.ts';
import type { WeightFormat } from '../quant/format.ts';
import { FORMATS } from '../quant/index.ts';
import { BLOCK, rowBytes, stride, type WeightDtype, type WeightPart } from './tensor.ts';

/** Constants of a kernel that reads rows of a weight. */
export type WeightConstant = 'UNIT' | 'N' | 'FACTOR' | 'UNITS' | 'SPAN' | 'SPANS';

export const WEIGHTS: readonly Fixed[] = Object.values(FORMATS).map(({ reader, unit }) => ({
  WEIGHT: reader,
  UNIT: unit,
}));

/** Values along K that a thread reads at once: a load of 16 bytes, of q8 two, which share a scale. */
const spanOf = ({ bits, perBlock }: Pick<WeightFormat, 'bits' | 'perBlock'>): number =>
  perBlock ? BLOCK : 128 / bits;

const spanInclude = ({ reader }: Pick<WeightFormat, 'reader'>): string =>
  (reader.includes('/') ? reader : `gpu/${reader}`).replace('weight_', 'span_');

/** Ways to read weights 16 bytes at a time. */
export const SPANS: readonly Fixed[] = Object.values(FORMATS).map((format) => ({
  WEIGHT: spanInclude(format),
  UNIT: format.unit,
  SPAN: spanOf(format),
}));

/** What a kernel that reads a part of weights `(rows, cols)` 16 bytes at a time needs. */
export function spanConstants(
  { dtype, rows, factor = 1 }: Pick<WeightPart, 'dtype' | 'rows' | 'factor'>,
  cols: number,
) {
  const format = FORMATS[dtype];
  const span = spanOf(format);
  return {
    imports: { WEIGHT: spanInclude(format) },
    constants: { UNIT: format.unit, SPAN: span, SPANS: stride(cols) / span, N: rows, FACTOR: factor },
  };
}

/** The include that reads weights of a dtype. */
export const weightInclude = (dtype: WeightDtype): string => FORMATS[dtype].reader;

const dtypeOf = ({ imports }: Asked): WeightDtype =>
  (Object.keys(FORMATS) as WeightDtype[]).find((dtype) =>
    [FORMATS[dtype].reader, spanInclude(FORMATS[dtype])].includes(imports.WEIGHT!),
  )!;

/** Values of a row, with its padding. */
const paddedOf = ({ constants: c }: Asked<WeightConstant>): number =>
  c.SPANS ? c.SPAN * c.SPANS : c.UNIT * c.UNITS;

/** What a kernel needs to read a part of weights `(rows, cols)`: values of one load along K, loads of a row, rows, and the factor. */
export function partConstants(
  { dtype, rows, factor = 1 }: Pick<WeightPart, 'dtype' | 'rows' | 'factor'>,
  cols: number,
): Record<'UNIT' | 'UNITS' | 'N' | 'FACTOR', number> {
  const { unit } = FORMATS[dtype];
  return { UNIT: unit, UNITS: stride(cols) / unit, N: rows, FACTOR: factor };
}

export function weightBindings(asked: Asked<WeightConstant>): Binding<WeightConstant>[] {
  const dtype = dtypeOf(asked);
  const { load, perBlock, beside }: WeightFormat = FORMATS[dtype];
  const bytes = rowBytes(dtype, paddedOf(asked));
  return [
    reads(
      'weight',
      asked.constants.SPANS && load !== 'vec4f' ? 'vec4<u32>' : load,
      ({ constants: { N } }) => [N, bytes.codes],
      'u8',
    ),
    ...(perBlock || beside
      ? [reads<'N'>('scales', beside?.load ?? 'u32', ({ constants: { N } }) => [N, bytes.scales], 'u8')]
      : []),
  ];
}

/** One row of the weight, with its padding, and without the factor. */
export function weightRow(launch: TwinLaunch<WeightConstant>, row: number): Float32Array {
  const dtype = dtypeOf(launch);
  const padded = paddedOf(launch);
  const { codes, scales } = rowBytes(dtype, padded);
  return FORMATS[dtype].decode(
    launch.bytes('weight', row * codes, codes),
    scales ? launch.bytes('scales', row * scales, scales) : undefined,
    padded,
  );
}

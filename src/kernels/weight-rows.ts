// What kernels that read weights have in common: shaders/shared/weight_*.wgsl.
import { type Asked, type Binding, type Fixed, reads, type TwinLaunch } from '../gpu/kernel.ts';
import type { WeightFormat } from '../quant/format.ts';
import { FORMATS } from '../quant/index.ts';
import { rowBytes, stride, type WeightDtype, type WeightPart } from './tensor.ts';

/** Constants of a kernel that reads rows of a weight. */
export type WeightConstant = 'UNIT' | 'UNITS' | 'N' | 'FACTOR';

export const WEIGHTS: readonly Fixed[] = Object.values(FORMATS).map(({ reader, unit }) => ({
  WEIGHT: reader,
  UNIT: unit,
}));

/** The include that reads weights of a dtype. */
export const weightInclude = (dtype: WeightDtype): string => FORMATS[dtype].reader;

const dtypeOf = ({ imports }: Asked): WeightDtype =>
  (Object.keys(FORMATS) as WeightDtype[]).find((dtype) => FORMATS[dtype].reader === imports.WEIGHT)!;

/** What a kernel needs to read a part of weights `(rows, cols)`: values of one load along K, loads of a row, rows, and the factor. */
export function partConstants(
  { dtype, rows, factor = 1 }: Pick<WeightPart, 'dtype' | 'rows' | 'factor'>,
  cols: number,
): Record<WeightConstant, number> {
  const { unit } = FORMATS[dtype];
  return { UNIT: unit, UNITS: stride(cols) / unit, N: rows, FACTOR: factor };
}

export function weightBindings(asked: Asked<WeightConstant>): Binding<WeightConstant>[] {
  const dtype = dtypeOf(asked);
  const { load, perBlock, beside }: WeightFormat = FORMATS[dtype];
  const bytes = rowBytes(dtype, asked.constants.UNIT * asked.constants.UNITS);
  return [
    reads('weight', load, ({ constants: { N } }) => [N, bytes.codes], 'u8'),
    ...(perBlock || beside
      ? [reads<'N'>('scales', beside?.load ?? 'u32', ({ constants: { N } }) => [N, bytes.scales], 'u8')]
      : []),
  ];
}

/** One row of the weight, with its padding, and without the factor. */
export function weightRow(launch: TwinLaunch<WeightConstant>, row: number): Float32Array {
  const dtype = dtypeOf(launch);
  const padded = launch.constants.UNIT * launch.constants.UNITS;
  const { codes, scales } = rowBytes(dtype, padded);
  return FORMATS[dtype].decode(
    launch.bytes('weight', row * codes, codes),
    scales ? launch.bytes('scales', row * scales, scales) : undefined,
    padded,
  );
}

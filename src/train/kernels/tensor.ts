import { ShishuError } from '../../errors.ts';
import type { Slice } from '../../gpu/buffer.ts';
import type { Asked, Fixed, Range } from '../../gpu/kernel.ts';

/** f32 numbers, row-major without gaps: a buffer, or what lies in it from an element on (a multiple of 64: where bindings may begin). */
export type Tensor = GPUBuffer | { buffer: GPUBuffer; offset?: number | undefined };

/** A number of the caller's. */
export const REAL: Range = [-3e38, 3e38, 'f32'];

/** Numbers are read four at a time where their count is a multiple of four. */
export const NUMBERS: readonly Fixed[] = [{ NUMBERS: 'by_four' }, { NUMBERS: 'by_one' }];
export const numbersOf = (count: number): 'by_four' | 'by_one' => (count % 4 === 0 ? 'by_four' : 'by_one');
/** The element of an array of f32, and how many numbers it has. */
export const elementOf = ({ imports }: Pick<Asked, 'imports'>): 'vec4f' | 'f32' =>
  imports.NUMBERS === 'by_four' ? 'vec4f' : 'f32';
export const eachOf = ({ imports }: Pick<Asked, 'imports'>): 4 | 1 => (imports.NUMBERS === 'by_four' ? 4 : 1);

/**
 * What a kernel binds of a tensor.
 * @throws ShishuError `bad-argument` for a place where no binding may begin
 */
export function bound(tensor: Tensor, count: number, bytes: 4 | 2 = 4): Slice {
  const { buffer, offset = 0 } = 'buffer' in tensor ? tensor : { buffer: tensor };
  if ((bytes * offset) % 256 !== 0)
    throw new ShishuError(
      'bad-argument',
      `A tensor begins at element ${offset}, which is no multiple of ${256 / bytes}.`,
    );
  return { buffer, offset: bytes * offset, size: bytes * count };
}

// shaders/features/synthesise.wgsl
import { type Kernel, writes } from '../gpu/kernel.ts';
import { type Recorder, spread } from '../gpu/recorder.ts';
import { VALUE_FORMATS, type ValueDtype } from '../quant/index.ts';
import { hash } from './math.ts';
import { rowBytes, type Weight, type WeightPart } from './tensor.ts';

const WORKGROUP = 64;

/** Words of a launch are its items. */
export const SYNTHESISE: Kernel<'WG' | 'BITS' | 'LEVEL' | 'SCALES'> = {
  name: 'synthesise',
  folder: 'features',
  choices: [
    [{ WG: WORKGROUP }],
    Object.values(VALUE_FORMATS).flatMap(({ bits, level, perBlock }) =>
      [...new Set([0, perBlock])].map((SCALES) => ({ BITS: bits, LEVEL: level, SCALES })),
    ),
  ],
  sizes: {},
  bindings: () => [
    writes('out', 'u32', ({ items }) => [items]),
    { name: 'params', type: 'Params', access: 'uniform', numbers: 'u32', shape: () => [4] },
  ],
  grid: ({ items, constants: { WG } }, most) => [...spread(Math.ceil(items / WG), most), 1],
  *cpu({ constants: { BITS, LEVEL, SCALES }, words, pick }) {
    const [count, perRow, cols, seed] = words('params', 0, 4) as unknown as [number, number, number, number];
    const peak = Math.sqrt(3 / cols);
    const uniform = (bits: number): number => (bits >>> 8) * (2 / 16777216) - 1;
    for (const i of pick(count)) {
      const bits = hash((i ^ hash(seed)) >>> 0);
      const column = (i % perRow) * (32 / BITS);
      const left = (value: number, place: number): number => (column + place < cols ? value : 0);
      const scale = peak / LEVEL;
      const halves = SCALES
        ? [scale, SCALES === 2 ? -(2 ** (BITS - 1)) * scale : scale]
        : [left(uniform(bits) * peak, 0), left(uniform(hash(bits)) * peak, 1)];
      if (SCALES || BITS === 16)
        for (const [j, value] of halves.entries())
          yield { binding: 'out', at: 2 * i + j, value, scale: Math.abs(value), as: 'f16' };
      else if (BITS === 32) yield { binding: 'out', at: i, value: halves[0]!, scale: peak, as: 'f32' };
      else {
        let word = 0;
        const middle = 2 ** (BITS - 1);
        for (let place = 0; place < 32 / BITS; place++) {
          const code = Math.max(1, (bits >>> (BITS * place)) & (2 * middle - 1));
          word |= (column + place < cols ? code : middle) << (BITS * place);
        }
        yield { binding: 'out', at: i, value: word >>> 0, scale: 0 };
      }
    }
  },
};

/** Bytes of the uniform of one launch. */
export const SYNTHESISE_BYTES = 16;

/**
 * Fills a part's codes, `(rows, stride(cols))` in the part's dtype, one that values are rounded to, and what is beside its blocks with random values of deviation
 * 1/sqrt(cols); one launch each, with a uniform each from `uniform`.
 */
export function synthesise(
  recorder: Recorder,
  call: { weight: Weight; part: WeightPart; seed: number; uniform: (data: Uint32Array) => GPUBuffer },
): void {
  const { weight, part, seed } = call;
  const { cols } = weight;
  const dtype = part.dtype as ValueDtype;
  const bytes = rowBytes(dtype, cols);
  const { bits, level, perBlock } = VALUE_FORMATS[dtype];
  const fill = (out: GPUBuffer, perRow: number, scales: number): void => {
    const words = (part.rows * perRow) / 4;
    recorder.add({
      label: 'synthesise',
      shader: {
        kernel: SYNTHESISE,
        constants: { WG: WORKGROUP, BITS: bits, SCALES: scales, LEVEL: level },
      },
      bind: { out, params: call.uniform(new Uint32Array([words, perRow / 4, cols, seed])) },
      items: words,
    });
  };
  fill(part.codes, bytes.codes, 0);
  if (part.scales) fill(part.scales, bytes.scales, perBlock);
}

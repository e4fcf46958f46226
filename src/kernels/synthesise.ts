// Launches shaders/synthesise.wgsl.
import type { Gpu } from '../gpu/device.ts';
import type { Kernel } from '../gpu/kernel.ts';
import { type Recorder, spread } from '../gpu/recorder.ts';
import { FORMATS } from '../quant/index.ts';
import { rowBytes, type Weight, type WeightPart } from './tensor.ts';

const WORKGROUP = 64;

export const SYNTHESISE: Kernel = {
  name: 'synthesise',
  choices: [
    [{ WG: WORKGROUP }],
    Object.values(FORMATS).map(({ bits, level }) => ({ BITS: bits, LEVEL: level })),
    [{ SCALES: false }, { SCALES: true }],
  ],
  sizes: {},
};

/** Bytes of the uniform of one launch. */
export const SYNTHESISE_BYTES = 16;

/**
 * Fills a part's codes, `(rows, stride(cols))` in the weight's dtype, and its scales with random values of deviation
 * 1/sqrt(cols); one launch each, with a uniform each from `uniform`.
 */
export function synthesise(
  gpu: Gpu,
  recorder: Recorder,
  call: { weight: Weight; part: WeightPart; seed: number; uniform: (data: Uint32Array) => GPUBuffer },
): void {
  const { weight, part, seed } = call;
  const { dtype, cols } = weight;
  const bytes = rowBytes(dtype, cols);
  const { bits, level } = FORMATS[dtype];
  const fill = (out: GPUBuffer, perRow: number, scales: boolean): void => {
    const words = (part.rows * perRow) / 4;
    recorder.add({
      label: 'synthesise',
      shader: {
        kernel: SYNTHESISE,
        constants: { WG: WORKGROUP, BITS: bits, SCALES: scales, LEVEL: level },
      },
      bind: { out, params: call.uniform(new Uint32Array([words, perRow / 4, cols, seed])) },
      grid: () => [...spread(Math.ceil(words / WORKGROUP), gpu.limits.workgroups), 1],
    });
  };
  fill(part.codes, bytes.codes, false);
  if (part.scales) fill(part.scales, bytes.scales, true);
}

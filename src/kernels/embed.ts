// Launches shaders/embed.wgsl.
import type { Kernel } from '../gpu/kernel.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { unitConstants, WEIGHTS, weightInclude } from './matmul.ts';
import { type Activations, COUNT, PLACE, stride, type Weight } from './tensor.ts';

export const EMBED: Kernel = {
  name: 'embed',
  choices: [[{ WG: 64 }], WEIGHTS],
  sizes: { UNITS: COUNT, X_STRIDE4: COUNT, N: COUNT, ROW0: PLACE },
};

/** Rows of the table: `out (rows, stride(cols))`, by the tokens of `rows`. */
export function embed(
  recorder: Recorder,
  call: { table: Weight; rows: GPUBuffer; out: Activations; step: GPUBuffer },
): void {
  const { table, out } = call;
  const units = unitConstants(table.dtype, out.cols);
  for (const part of table.parts)
    recorder.add({
      label: 'embed',
      shader: {
        kernel: EMBED,
        imports: { WEIGHT: weightInclude(table.dtype) },
        constants: { WG: 64, ...units, X_STRIDE4: stride(out.cols) / 4, N: part.rows, ROW0: part.row0 },
      },
      bind: { rows: call.rows, weight: part.codes, scales: part.scales, out: out.buffer, step: call.step },
      grid: (step) => [Math.ceil(units.UNITS / 64), step.rows, 1],
    });
}

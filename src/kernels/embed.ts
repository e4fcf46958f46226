// shaders/embed.wgsl
import { type Kernel, reads, STEP, writes } from '../gpu/kernel.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { type Activations, COUNT, FACTOR, PLACE, stride, type Weight } from './tensor.ts';
import {
  partConstants,
  WEIGHTS,
  type WeightConstant,
  weightBindings,
  weightInclude,
  weightRow,
} from './weight-rows.ts';

export const EMBED: Kernel<WeightConstant | 'WG' | 'X_STRIDE4' | 'ROW0'> = {
  name: 'embed',
  choices: [[{ WG: 64 }], WEIGHTS],
  sizes: { UNITS: COUNT, X_STRIDE4: COUNT, N: COUNT, ROW0: PLACE, FACTOR },
  bindings: (asked) => [
    reads('rows', 'Row', ({ step }) => [step.rows, 4]),
    ...weightBindings(asked),
    writes('out', 'vec4f', ({ constants, step }) => [step.rows, 4 * constants.X_STRIDE4]),
    STEP,
  ],
  grid: ({ constants: { UNITS, WG }, step }) => [Math.ceil(UNITS / WG), step.rows, 1],
  *cpu(launch) {
    const { N, ROW0, X_STRIDE4, FACTOR } = launch.constants;
    for (const row of launch.pick(launch.step.rows)) {
      const token = launch.words('rows', 4 * row, 4)[0]!;
      if (token < ROW0 || token >= ROW0 + N) continue;
      const values = weightRow(launch, token - ROW0);
      for (const i of launch.pick(values.length, 64))
        yield { binding: 'out', at: row * 4 * X_STRIDE4 + i, value: FACTOR * values[i]!, scale: 0 };
    }
  },
};

/** Rows of the table: `out (rows, stride(cols))`, by the tokens of `rows`. */
export function embed(
  recorder: Recorder,
  call: { table: Weight; rows: GPUBuffer; out: Activations; step: GPUBuffer },
): void {
  const { table, out } = call;
  for (const part of table.parts)
    recorder.add({
      label: 'embed',
      shader: {
        kernel: EMBED,
        imports: { WEIGHT: weightInclude(part.dtype) },
        constants: {
          WG: 64,
          ...partConstants(part, out.cols),
          X_STRIDE4: stride(out.cols) / 4,
          ROW0: part.row0,
        },
      },
      bind: { rows: call.rows, weight: part.codes, scales: part.scales, out: out.buffer, step: call.step },
    });
}

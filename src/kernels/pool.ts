// shaders/features/pool.wgsl
import { type Kernel, reads, STEP, writes } from '../gpu/kernel.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { type Activations, COUNT, stride } from './tensor.ts';

/** Bytes of a `Span` in the shader. */
export const SPAN_BYTES = 16;

/** Neighbouring rows of a step, and where their sum goes, times `scale`. */
export interface Span {
  first: number;
  count: number;
  place: number;
  scale: number;
}

export function packSpans(spans: readonly Span[]): ArrayBuffer {
  const words = new Uint32Array((SPAN_BYTES / 4) * spans.length);
  const floats = new Float32Array(words.buffer);
  for (const [i, { first, count, place, scale }] of spans.entries()) {
    words.set([first, count, place], 4 * i);
    floats[4 * i + 3] = scale;
  }
  return words.buffer;
}

/** The spans of a launch are as many as the step has rows with logits; their places are below the rows. */
export const POOL: Kernel<'WG' | 'X_STRIDE4'> = {
  name: 'pool',
  folder: 'features',
  choices: [[{ WG: 64 }]],
  sizes: { X_STRIDE4: COUNT },
  bindings: () => [
    reads('x', 'vec4f', ({ constants, step }) => [step.rows, 4 * constants.X_STRIDE4]),
    reads('spans', 'Span', ({ step }) => [step.count, 4]),
    writes('out', 'vec4f', ({ constants, step }) => [step.rows, 4 * constants.X_STRIDE4]),
    STEP,
  ],
  grid: ({ constants: { X_STRIDE4, WG }, step }) =>
    step.count === 0 ? undefined : [Math.ceil(X_STRIDE4 / WG), step.count, 1],
  *cpu({ constants, step, floats, words, pick }) {
    const size = 4 * constants.X_STRIDE4;
    for (const s of pick(step.count)) {
      const [first, count, place] = words('spans', 4 * s, 3) as unknown as [number, number, number];
      const scale = floats('spans', 4 * s + 3, 1)[0]!;
      const rows = Array.from({ length: count }, (_, i) => floats('x', (first + i) * size, size));
      for (const i of pick(size, 32)) {
        const at = place * size + i;
        const terms = [floats('out', at, 1)[0]!, ...rows.map((row) => scale * row[i]!)];
        const value = terms.reduce((sum, term) => sum + term);
        yield { binding: 'out', at, value, scale: terms.reduce((sum, term) => sum + Math.abs(term), 0) };
      }
    }
  },
};

/** Adds spans of rows of x to `out (places, stride(cols))`, no two of one place in a step. */
export function pool(
  recorder: Recorder,
  call: { x: Activations; spans: GPUBuffer; out: GPUBuffer; step: GPUBuffer },
): void {
  const { x, spans, out, step } = call;
  recorder.add({
    label: 'pool',
    shader: { kernel: POOL, constants: { WG: 64, X_STRIDE4: stride(x.cols) / 4 } },
    bind: { x: x.buffer, spans, out, step },
  });
}

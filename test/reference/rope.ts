import { ropeTable } from '../../src/model/rope.ts';
import type { AttentionMixer } from '../../src/model/spec.ts';
import { rope } from './kernels.ts';

/**
 * RoPE of positions 0 up as transformers rotates: the first `rotated` dimensions of each head in pairs of halves, or of
 * neighbours, the others stay.
 * Scalings that the twin of the kernel has not are those of the engine's table, which transformers judges.
 */
export function rotate(x: Float32Array, heads: number, mixer: AttentionMixer, context: number): Float32Array {
  const { headDim } = mixer;
  const { rotated = headDim, amplitude = 1, scaling, interleaved = false } = mixer.rope ?? {};
  const tokens = x.length / (heads * headDim);
  const positions = Array.from({ length: tokens }, (_, position) => position);
  const twin = ['none', 'linear', 'llama3'].includes(scaling?.type ?? 'none');
  if (rotated === headDim && amplitude === 1 && twin && !interleaved) return rope(x, heads, mixer, positions);
  const table = ropeTable(mixer, context);
  const out = x.slice();
  for (let row = 0; row < tokens * heads; row++)
    for (let i = 0; i < rotated / 2; i++) {
      const at = headDim * Math.floor(row / heads) + 2 * i;
      const [cos, sin] = [table[at]!, table[at + 1]!];
      const first = row * headDim + (interleaved ? 2 * i : i);
      const second = first + (interleaved ? 1 : rotated / 2);
      out[first] = x[first]! * cos - x[second]! * sin;
      out[second] = x[second]! * cos + x[first]! * sin;
    }
  return out;
}

import type { AttentionMixer } from './spec.ts';

export type RotatedHead = Pick<AttentionMixer, 'headDim' | 'rope'>;

/**
 * Inverse frequencies `(headDim / 2)` of rotary embeddings: theta^(-2i / headDim), scaled; all 0 where nothing is rotated. The llama3 rule keeps short
 * wavelengths, divides long ones by the factor and blends between (transformers, modeling_rope_utils).
 */
export function inverseFrequencies({ headDim, rope }: RotatedHead): Float64Array {
  return Float64Array.from({ length: headDim / 2 }, (_, i) => {
    if (!rope) return 0;
    const { theta, scaling } = rope;
    const f = theta ** ((-2 * i) / headDim);
    if (scaling.type === 'none') return f;
    if (scaling.type === 'linear') return f / scaling.factor;
    const { factor, lowFreqFactor: low, highFreqFactor: high, originalMaxPositions: original } = scaling;
    const wavelength = (2 * Math.PI) / f;
    if (wavelength > original / low) return f / factor;
    if (wavelength < original / high) return f;
    const s = (original / wavelength - low) / (high - low);
    return (1 - s) * (f / factor) + s * f;
  });
}

/** `(context, headDim / 2, 2)`: cos and sin, from f64 so that late positions keep their precision. */
export function ropeTable(head: RotatedHead, context: number): Float32Array<ArrayBuffer> {
  const frequencies = inverseFrequencies(head);
  const table = new Float32Array(context * head.headDim);
  let at = 0;
  for (let position = 0; position < context; position++)
    for (const f of frequencies) {
      table[at++] = Math.cos(position * f);
      table[at++] = Math.sin(position * f);
    }
  return table;
}

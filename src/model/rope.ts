import type { ModelConfig } from './config.ts';

/**
 * Inverse frequencies `(headDim / 2)` of rotary embeddings: theta^(-2i / headDim), scaled. The llama3 rule keeps short
 * wavelengths, divides long ones by the factor and blends between (transformers, modeling_rope_utils).
 */
export function inverseFrequencies({ headDim, ropeTheta, ropeScaling }: ModelConfig): Float64Array {
  return Float64Array.from({ length: headDim / 2 }, (_, i) => {
    const f = ropeTheta ** ((-2 * i) / headDim);
    if (ropeScaling.type === 'none') return f;
    if (ropeScaling.type === 'linear') return f / ropeScaling.factor;
    const { factor, lowFreqFactor: low, highFreqFactor: high, originalMaxPositions: original } = ropeScaling;
    const wavelength = (2 * Math.PI) / f;
    if (wavelength > original / low) return f / factor;
    if (wavelength < original / high) return f;
    const s = (original / wavelength - low) / (high - low);
    return (1 - s) * (f / factor) + s * f;
  });
}

/** `(context, headDim / 2, 2)`: cos and sin, from f64 so that late positions keep their precision. */
export function ropeTable(config: ModelConfig, context: number): Float32Array<ArrayBuffer> {
  const frequencies = inverseFrequencies(config);
  const table = new Float32Array(context * config.headDim);
  let at = 0;
  for (let position = 0; position < context; position++)
    for (const f of frequencies) {
      table[at++] = Math.cos(position * f);
      table[at++] = Math.sin(position * f);
    }
  return table;
}

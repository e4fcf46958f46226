import type { AttentionMixer, RopeScaling } from './spec.ts';

export type RotatedHead = Pick<AttentionMixer, 'headDim' | 'rope'>;

type Scaling<T> = Extract<RopeScaling, { type: T }>;

/** llama3 keeps short wavelengths, divides long ones by the factor and blends between. */
function llama3(f: number, scaling: Scaling<'llama3'>): number {
  const { factor, lowFreqFactor: low, highFreqFactor: high, originalMaxPositions: original } = scaling;
  const wavelength = (2 * Math.PI) / f;
  if (wavelength > original / low) return f / factor;
  if (wavelength < original / high) return f;
  const s = (original / wavelength - low) / (high - low);
  return (1 - s) * (f / factor) + s * f;
}

/** YaRN keeps pairs that turn often within the original context, divides those that turn rarely and blends between (arXiv 2309.00071). */
function yarn(f: number, i: number, dims: number, theta: number, scaling: Scaling<'yarn'>): number {
  const { factor, betaFast, betaSlow, originalMaxPositions: original, truncate } = scaling;
  const pairOf = (turns: number): number =>
    (dims * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const whole = (value: number, round: (value: number) => number): number =>
    truncate ? round(value) : value;
  const low = Math.max(0, whole(pairOf(betaFast), Math.floor));
  const high = Math.min(dims - 1, whole(pairOf(betaSlow), Math.ceil));
  const ramp = (i - low) / (low === high ? 0.001 : high - low);
  const s = Math.min(1, Math.max(0, ramp));
  return s * (f / factor) + (1 - s) * f;
}

/**
 * Inverse frequencies `(headDim / 2)` of rotary embeddings: theta^(-2i / dims), scaled as transformers does
 * (modeling_rope_utils); 0 where nothing is rotated.
 */
export function inverseFrequencies({ headDim, rope }: RotatedHead, context: number): Float64Array {
  return Float64Array.from({ length: headDim / 2 }, (_, i) => {
    const dims = rope ? (rope.rotated ?? headDim) : 0;
    if (!rope || 2 * i >= dims) return 0;
    const { theta, scaling } = rope;
    const f = theta ** ((-2 * i) / dims);
    switch (scaling.type) {
      case 'none':
        return f;
      case 'linear':
        return f / scaling.factor;
      case 'llama3':
        return llama3(f, scaling);
      case 'yarn':
        return yarn(f, i, dims, theta, scaling);
      case 'longrope':
        return f / (context > scaling.originalMaxPositions ? scaling.long : scaling.short)[i]!;
    }
  });
}

/** `(context, headDim / 2, 2)`: cos and sin, from f64 so that late positions keep their precision. */
export function ropeTable(head: RotatedHead, context: number): Float32Array<ArrayBuffer> {
  const frequencies = inverseFrequencies(head, context);
  const { rotated = head.headDim, amplitude = 1 } = head.rope ?? {};
  const table = new Float32Array(context * head.headDim);
  let at = 0;
  for (let position = 0; position < context; position++)
    for (const [i, f] of frequencies.entries()) {
      const size = 2 * i < rotated ? amplitude : 1;
      table[at++] = size * Math.cos(position * f);
      table[at++] = size * Math.sin(position * f);
    }
  return table;
}

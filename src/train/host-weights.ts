/** Tensors of a checkpoint on the host, by name; matrices are `(out, in)`, float32. A shared pair is there once. */
export type HostWeights = Record<string, { shape: readonly number[]; data: Float32Array<ArrayBuffer> }>;

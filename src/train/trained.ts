// Which weights training changes.
import { type Matrix, type ModelSpec, ownTensors, type TensorSpec } from '../model/spec.ts';

/**
 * What is trained: every weight (with a `lowest` block, those from it on but the embedding); the MLPs, maps and norms of changed
 * blocks with the norms of all; or on every matrix a product of two of a rank (LoRA), with norms and biases.
 */
export type Trained = 'all' | 'changed' | { rank: number };

/** What a choice of `Trained` comes to for a model. */
export interface TrainedSet {
  /** Blocks from this one on have a backward. */
  lowest: number;
  /** Tensors that change, in the order of the spec. */
  tensors: readonly TensorSpec[];
  /** Matrices to which a product is added, and their rank. */
  products: ReadonlyMap<string, { matrix: Matrix; rank: number }>;
}

/** Names of the two matrices whose product, B A, LoRA adds to a matrix. */
export const productNames = (matrix: string): { a: string; b: string } => ({
  a: `${matrix}.lora_A.weight`,
  b: `${matrix}.lora_B.weight`,
});

/** The matrices of a block, those of another's MLP where it has that one's. */
function matricesOf(spec: ModelSpec, block: number): Matrix[] {
  const { mixer, feedForward } = spec.blocks[block]!;
  const { gate, up, down } = spec.blocks[feedForward.owner]!.feedForward;
  const mixers: readonly (Matrix | undefined)[] =
    mixer.kind === 'attention'
      ? [mixer.q, mixer.k, mixer.v, mixer.out]
      : mixer.kind === 'linear'
        ? [mixer.down, mixer.up]
        : [];
  return [...mixers.flatMap((matrix) => matrix ?? []), gate, up, down];
}

/** Blocks that are not what the parent's are; without a parent, those without attention, and those that share an MLP. */
function changedBlocks(spec: ModelSpec, parent: ModelSpec | undefined): Set<number> {
  const changed = new Set<number>();
  for (const [i, { mixer, feedForward }] of spec.blocks.entries()) {
    const was = parent?.blocks[i]?.mixer.kind ?? 'attention';
    const owned = parent?.blocks[i]?.feedForward.owner ?? i;
    if (mixer.kind !== was) changed.add(i);
    if (feedForward.owner !== owned) changed.add(i).add(feedForward.owner);
  }
  return changed;
}

/**
 * @param options.parent of a child that has its blocks, but for the changed ones
 * @param options.lowest default 0, with the embedding; for `changed`, the lowest that is
 */
export function trainedSet(
  spec: ModelSpec,
  options: {
    trained?: Trained | undefined;
    lowest?: number | undefined;
    parent?: ModelSpec | undefined;
  },
): TrainedSet {
  const { trained = 'all', parent } = options;
  const count = spec.blocks.length;
  const changed = changedBlocks(spec, parent);
  let lowest = options.lowest ?? (trained === 'changed' ? Math.min(count - 1, ...changed) : 0);
  // An MLP that a block above shares is trained in each place that has it.
  for (let block = count - 1; block >= lowest; block--)
    lowest = Math.min(lowest, spec.blocks[block]!.feedForward.owner);
  const above = spec.blocks.map((_, i) => i).filter((i) => i >= lowest);
  const matrices = above.flatMap((i) => matricesOf(spec, i));
  if (!spec.tied) matrices.push(spec.head);
  const named = (of: readonly Matrix[]): string[] =>
    of.flatMap(({ name, bias }) => [`${name}.weight`, ...(bias ? [`${name}.bias`] : [])]);
  const inputs = new Set([`${spec.embedding.name}.weight`, `${spec.head.name}.weight`]);
  const wanted = new Set<string>();
  const products = new Map<string, { matrix: Matrix; rank: number }>();
  if (trained === 'all') {
    for (const name of named(matrices)) wanted.add(name);
    if (options.lowest === undefined) wanted.add(`${spec.embedding.name}.weight`);
  } else if (trained === 'changed') {
    for (const i of above.filter((i) => changed.has(i))) {
      const { mixer } = spec.blocks[i]!;
      const attention = mixer.kind === 'attention' ? [mixer.q, mixer.k, mixer.v, mixer.out] : [];
      const kept = new Set(attention.map(({ name }) => name));
      for (const name of named(matricesOf(spec, i).filter((matrix) => !kept.has(matrix.name))))
        wanted.add(name);
    }
  } else {
    for (const matrix of matrices) {
      if (!inputs.has(`${matrix.name}.weight`))
        products.set(matrix.name, { matrix, rank: Math.min(trained.rank, matrix.rows, matrix.cols) });
      if (matrix.bias) wanted.add(`${matrix.name}.bias`);
    }
  }
  // Of vectors the gains are left.
  for (const i of above) {
    const { mixer, feedForward } = spec.blocks[i]!;
    const gains = [spec.blocks[feedForward.owner]!.feedForward.norm];
    if (mixer.kind === 'attention') {
      gains.push(mixer.norm);
      if (typeof mixer.qkNorm === 'object') gains.push(mixer.qkNorm.q, mixer.qkNorm.k);
    }
    for (const gain of gains) if (gain !== undefined) wanted.add(gain);
  }
  wanted.add(spec.norm);
  return { lowest, products, tensors: ownTensors(spec).filter(({ name }) => wanted.has(name)) };
}

// What training keeps on the GPU: said beforehand by `trainingBytes`, made by the trainer.
import { attentionOf, type ModelSpec, ownTensors, type TensorSpec } from '../model/spec.ts';
import { HYPER_SIZE, SUM_PARTS } from './kernels/adamw.ts';
import { type Layout, layoutBytes, layoutOf } from './parameters.ts';
import { roomSizes, ropeKey, type Windows } from './room.ts';
import { productNames, type Trained, type TrainedSet, trainedSet } from './trained.ts';

/** What sizes depend on. */
export interface TrainingSizes {
  /** Windows of a micro-batch, and tokens of a window. */
  rows: number;
  length: number;
  /** Default `all`. */
  trained?: Trained | undefined;
  /** Blocks below this one stay as they are, and so does the embedding; without it, everything may change. */
  lowest?: number | undefined;
  /** Most bytes of blocks' inner values that are kept for the backward (default 256 MiB); others are computed anew. */
  keep?: number | undefined;
  /** Micro-batches of a step (default 1). */
  accumulate?: number | undefined;
  teacher?: { spec: ModelSpec; mix: number; hidden?: number | undefined } | undefined;
}

/** Most bytes that logits of one model take at a time; the loss goes over rows in chunks. */
const LOGIT_BYTES = 2 ** 26;
const KEPT_BYTES = 2 ** 28;
/** Chunks of rows begin where bindings may. */
const CHUNK = 64;

export interface Plan {
  set: TrainedSet;
  /** LoRA's matrices. */
  products: readonly TensorSpec[];
  windows: Windows;
  accumulate: number;
  /** Rows whose logits are there at a time. */
  chunk: number;
  /** Layouts of what changes, of what does not and is not the teacher's, and of the teacher. */
  trained: Layout;
  frozen: Layout;
  teacher: Layout | undefined;
  /** The teacher's states below the lowest block are the child's too. */
  sharesBelow: boolean;
  /** f32 or u32 numbers of all other buffers. */
  room: ReturnType<typeof roomSizes>;
  /** The last blocks, whose inner values are kept for the backward; those of others are computed anew. */
  keeping: number;
  others: Record<Other, number>;
  /** Hidden states kept for the backward: inputs of blocks from the lowest on, and what the last gives. */
  inputs: { count: number; size: number };
  ropes: ReadonlyMap<string, number>;
}

/** Buffers of numbers that are no model's. */
type Other =
  | 'teacherX'
  | 'teacherNormed'
  | 'logits'
  | 'teacherLogits'
  | 'tokens'
  | 'targets'
  | 'rowWeights'
  | 'hiddenWeights'
  | 'runs'
  | 'order'
  | 'losses'
  | 'results'
  | 'sums'
  | 'hyper';

const sumOf = (sizes: Record<string, number>): number =>
  Object.values(sizes).reduce((sum, count) => sum + count, 0);

const sameShape = (a: TensorSpec, b: TensorSpec): boolean => a.shape.join() === b.shape.join();

/**
 * @param options.most bytes of the largest binding
 * @param options.shared whether a tensor that does not change is the teacher's, of those that may be by name and shape
 */
export function planOf(
  spec: ModelSpec,
  sizes: TrainingSizes,
  {
    most = Number.POSITIVE_INFINITY,
    shared = () => true,
  }: { most?: number; shared?: (name: string) => boolean } = {},
): Plan {
  const { rows, length, teacher, accumulate = 1, keep = KEPT_BYTES } = sizes;
  const windows = { rows: rows * length, length };
  const set = trainedSet(spec, { ...sizes, parent: teacher?.spec });
  const changes = new Set(set.tensors.map(({ name }) => name));
  const teacherTensors = new Map(
    teacher ? ownTensors(teacher.spec).map((tensor) => [tensor.name, tensor]) : [],
  );
  const isShared = (tensor: TensorSpec): boolean => {
    const its = teacherTensors.get(tensor.name);
    return its !== undefined && sameShape(its, tensor) && shared(tensor.name);
  };
  const still = ownTensors(spec).filter(({ name }) => !changes.has(name));
  const frozen = still.filter((tensor) => !isShared(tensor));
  const products = [...set.products].flatMap(([name, { matrix, rank }]): TensorSpec[] => {
    const { a, b } = productNames(name);
    return [
      { name: a, shape: [rank, matrix.cols] },
      { name: b, shape: [matrix.rows, rank] },
    ];
  });
  const trained = layoutOf([...set.tensors, ...products], most);
  const specs = teacher ? [spec, teacher.spec] : [spec];
  const rank = Math.max(0, ...[...set.products.values()].map((product) => product.rank));
  const vocab = Math.max(...specs.map(({ vocabSize }) => vocabSize));
  const chunk = Math.min(
    windows.rows,
    CHUNK * Math.max(1, Math.floor(Math.min(LOGIT_BYTES, most) / (4 * vocab * CHUNK))),
  );
  const teacherHidden = teacher ? windows.rows * teacher.spec.hiddenSize : 0;
  const mixes = teacher !== undefined && teacher.mix > 0;
  const embeds = changes.has(`${spec.embedding.name}.weight`);
  const room = roomSizes(specs, windows, rank);
  const ropes = new Map<string, number>();
  for (const mixer of specs.flatMap((one) => [...attentionOf(one).values()]))
    if (mixer.rope) ropes.set(ropeKey(mixer), length * mixer.headDim);
  return {
    set,
    products,
    windows,
    accumulate,
    chunk,
    trained,
    frozen: layoutOf(frozen, most),
    teacher: teacher && layoutOf([...teacherTensors.values()], most),
    sharesBelow: set.lowest > 0 && sharesBelow(spec, teacher?.spec, set.lowest, new Set(frozen)),
    room,
    keeping: Math.min(spec.blocks.length - set.lowest, Math.floor(keep / (4 * sumOf(room.inner)))),
    others: {
      teacherX: teacherHidden,
      teacherNormed: teacherHidden,
      logits: chunk * vocab,
      teacherLogits: mixes ? chunk * vocab : 0,
      tokens: windows.rows,
      targets: windows.rows,
      rowWeights: windows.rows,
      hiddenWeights: teacher?.hidden ? windows.rows : 0,
      runs: embeds ? 3 * windows.rows : 0,
      order: embeds ? windows.rows : 0,
      losses: windows.rows,
      results: accumulate * windows.rows + HYPER_SIZE,
      sums: trained.buffers.length * SUM_PARTS,
      hyper: HYPER_SIZE,
    },
    inputs: { count: spec.blocks.length - set.lowest + 1, size: windows.rows * spec.hiddenSize },
    ropes,
  };
}

/** Whether a child's blocks below one are its teacher's: alike, and of the same tensors. */
function sharesBelow(
  spec: ModelSpec,
  teacher: ModelSpec | undefined,
  lowest: number,
  own: ReadonlySet<TensorSpec>,
): boolean {
  if (!teacher) return false;
  const below = (of: ModelSpec): string =>
    JSON.stringify([of.hiddenSize, of.rmsNormEps, of.embedding, of.blocks.slice(0, lowest)]);
  const parts = ownTensors({ ...spec, blocks: spec.blocks.slice(0, lowest), tied: true });
  const names = new Set(parts.filter(({ name }) => name !== spec.norm).map(({ name }) => name));
  return below(spec) === below(teacher) && ![...own].some(({ name }) => names.has(name));
}

/** GPU memory of training, in bytes: of weights, gradients and moments, and of all else. */
export function trainingBytes(
  spec: ModelSpec,
  sizes: TrainingSizes,
): { weights: number; scratch: number; total: number } {
  const plan = planOf(spec, sizes);
  const weights =
    4 * layoutBytes(plan.trained) + layoutBytes(plan.frozen) + (plan.teacher ? layoutBytes(plan.teacher) : 0);
  const { room, others, ropes, inputs, keeping } = plan;
  const numbers = sumOf(room.passing) + sumOf(others) + [...ropes.values()].reduce((a, b) => a + b, 0);
  const scratch = 4 * (numbers + (1 + keeping) * sumOf(room.inner) + inputs.count * inputs.size);
  return { weights, scratch, total: weights + scratch };
}

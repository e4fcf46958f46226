// Where a child's tensors are among its parent's: other families name them otherwise, and order the rows of heads.
import type { ModelSpec } from '../model/spec.ts';
import { headOrder } from '../model/weights.ts';
import type { CpuWeights } from '../train/weights.ts';

/** A stored tensor of the parent. */
interface ParentTensor {
  name: string;
  /** Where row r of it goes. */
  place?: Place;
}

/** The parent's tensors by the child's names; those that are left out have one name and order. */
export function parentTensors(parent: ModelSpec, child: ModelSpec): ReadonlyMap<string, ParentTensor> {
  const tensors = new Map<string, ParentTensor>();
  const add = (to: string, name: string, place?: ParentTensor['place']): void => {
    if (to === name && !place) return;
    for (const part of ['weight', 'bias'])
      tensors.set(`${to}.${part}`, { name: `${name}.${part}`, ...(place && { place }) });
  };
  for (const [layer, { mixer, feedForward }] of parent.blocks.entries()) {
    const own = child.blocks[layer]!;
    for (const which of ['gate', 'up', 'down'] as const)
      add(own.feedForward[which].name, feedForward[which].name);
    if (mixer.kind !== 'attention' || own.mixer.kind !== 'attention') continue;
    if (!mixer.rope?.interleaved || own.mixer.rope?.interleaved) continue;
    const place = headOrder(mixer);
    for (const which of ['q', 'k'] as const) add(own.mixer[which].name, mixer[which].name, place);
  }
  return tensors;
}

/** The same model with the rows of q and k in the order that all others have. */
export const inUsualOrder = (spec: ModelSpec): ModelSpec => ({
  ...spec,
  blocks: spec.blocks.map((block) => {
    const { mixer } = block;
    if (mixer.kind !== 'attention' || !mixer.rope?.interleaved) return block;
    const { interleaved: _, ...rope } = mixer.rope;
    return { ...block, mixer: { ...mixer, rope } };
  }),
});

/** Weights of a model as those of `inUsualOrder`. */
export const weightsInUsualOrder = (weights: CpuWeights, spec: ModelSpec): CpuWeights =>
  reordered(weights, spec, (place) => place);

/** Weights of `inUsualOrder` as those of the model. */
export const weightsInOwnOrder = (weights: CpuWeights, spec: ModelSpec): CpuWeights =>
  reordered(weights, spec, (place, rows) => {
    const from = new Uint32Array(rows);
    for (let row = 0; row < rows; row++) from[place(row)] = row;
    return (row) => from[row]!;
  });

type Place = (row: number) => number;

/** @param placeOf of a tensor's rows, where the model has another order than the usual one */
function reordered(
  weights: CpuWeights,
  spec: ModelSpec,
  placeOf: (place: Place, rows: number) => Place,
): CpuWeights {
  const placed = { ...weights };
  for (const [name, { place }] of parentTensors(spec, inUsualOrder(spec))) {
    const tensor = weights[name];
    if (!tensor || !place) continue;
    const { buffer, byteOffset, byteLength } = tensor.data;
    const rows = tensor.shape[0]!;
    const bytes = placeRows(new Uint8Array(buffer, byteOffset, byteLength), rows, placeOf(place, rows));
    placed[name] = { ...tensor, data: new Float32Array(bytes.buffer) };
  }
  return placed;
}

/** Rows in their places. */
export function placeRows(
  bytes: Uint8Array<ArrayBuffer>,
  rows: number,
  place: Place,
): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(bytes.length);
  const size = bytes.length / rows;
  for (let row = 0; row < rows; row++)
    out.set(bytes.subarray(row * size, (row + 1) * size), place(row) * size);
  return out;
}

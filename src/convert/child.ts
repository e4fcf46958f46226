import { ShishuError } from '../errors.ts';
import type { Checkpoint } from '../formats/checkpoint.ts';
import { bytesToF32, firstF16Overflow } from '../formats/float.ts';
import { type NamedTensor, tensorBytes } from '../formats/safetensors.ts';
import {
  elements,
  kvBytesPerToken,
  type LinearMixer,
  type ModelSpec,
  ownTensors,
  parameterCount,
  planOf,
  type TensorSpec,
} from '../model/spec.ts';
import type { CpuWeights } from '../train/weights.ts';
import { mapName } from './analysis-file.ts';
import type { LinearMap } from './linear-map.ts';
import { mlpTensors, readMlp } from './mlps.ts';
import { parentTensors, placeRows } from './parent-tensors.ts';
import { type Mlp, type Share, shareMlp } from './share.ts';

/** Bytes of a model as stored, with K and V (f32) of `context` tokens. */
export function modelBytes(spec: ModelSpec, storedBytes: number, context: number): number {
  return parameterCount(spec) * storedBytes + context * kvBytesPerToken(spec, planOf(spec), 4);
}

/** A tensor of the child; `read` makes its bytes when they are to be written. */
export type ChildTensor = Omit<NamedTensor, 'data'> & { read(): Promise<Uint8Array> };

/** Every tensor of the child, in the parent's dtype; weights that do not change are the parent's own bytes. */
export function childTensors(
  parent: { spec: ModelSpec; checkpoint: Checkpoint; dtype: NamedTensor['dtype'] },
  child: ModelSpec,
  maps: ReadonlyMap<number, LinearMap>,
  share: Share,
): ChildTensor[] {
  const { checkpoint, dtype } = parent;
  const elsewhere = parentTensors(parent.spec, child);
  const nameOf = (name: string): string => elsewhere.get(name)?.name ?? name;
  const values = async (name: string): Promise<Float32Array<ArrayBuffer>> =>
    bytesToF32(await checkpoint.read(nameOf(name)), checkpoint.tensors.get(nameOf(name))!.dtype);

  // Values of the tensors that are not the parent's own, by name.
  const computed = new Map<string, () => Promise<Float32Array>>();
  for (const [layer, { mixer, feedForward }] of child.blocks.entries()) {
    if (mixer.kind === 'linear')
      for (const [name, data] of linearTensors(mixer, maps.get(layer)!))
        computed.set(name, async () => Float32Array.from(data));
    if (feedForward.owner === layer || share === 'keep-first') continue;
    const own = child.blocks[feedForward.owner]!.feedForward;
    // The tensors of a pair are written one after the other: only the last pair is kept.
    const merge = (): Promise<Mlp> => {
      if (merged?.layer !== layer)
        merged = {
          layer,
          mlp: (async () =>
            shareMlp(await readMlp(child, own, values), await readMlp(child, feedForward, values), share))(),
        };
      return merged.mlp;
    };
    for (const [tensor, name] of mlpTensors(own)) computed.set(name, async () => (await merge())[tensor]!);
  }
  let merged: { layer: number; mlp: Promise<Mlp> } | undefined;

  return storedTensors(child).map(({ name, shape, rows }): ChildTensor => {
    const unchanged = rows.map((tensor) =>
      computed.has(tensor.name) ? undefined : checkpoint.tensors.get(nameOf(tensor.name)),
    );
    const [{ dtype: own } = {}] = unchanged;
    if (own && unchanged.every((stored) => stored?.dtype === own))
      return { name, dtype: own, shape, read: () => joined(rows.map((each) => bytesOf(each))) };
    return tensorOf({ name, shape }, dtype, () => joinedValues(rows.map((each) => valuesOf(each))));
  });

  /** A tensor of the parent, its rows where the child has them. */
  async function bytesOf({ name, shape }: TensorSpec): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = await checkpoint.read(nameOf(name));
    const place = elsewhere.get(name)?.place;
    return place ? placeRows(bytes, shape[0]!, place) : bytes;
  }

  async function valuesOf(tensor: TensorSpec): Promise<Float32Array> {
    const data = computed.get(tensor.name);
    if (data) return data();
    const stored = checkpoint.tensors.get(nameOf(tensor.name));
    // A bias that the parent lacks and the child's config implies (Qwen2's output projection).
    return stored ? bytesToF32(await bytesOf(tensor), stored.dtype) : new Float32Array(elements(tensor));
  }
}

/** A tensor as a checkpoint stores it: one of the model's, or several as rows of one. */
interface StoredTensor {
  name: string;
  shape: readonly number[];
  rows: TensorSpec[];
}

/** The tensors of a model as they are stored, each shared one once. */
function storedTensors(spec: ModelSpec): StoredTensor[] {
  const stored = new Map<string, StoredTensor>();
  for (const tensor of ownTensors(spec)) {
    const { within } = tensor;
    const name = within?.name ?? tensor.name;
    const shape = within ? [within.rows, ...tensor.shape.slice(1)] : tensor.shape;
    const { rows } = stored.get(name) ?? { rows: [] };
    stored.set(name, { name, shape, rows: [...rows, tensor] });
  }
  return [...stored.values()];
}

async function joined(each: readonly Promise<Uint8Array>[]): Promise<Uint8Array> {
  const all = await Promise.all(each);
  if (all.length === 1) return all[0]!;
  const bytes = new Uint8Array(all.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const one of all) {
    bytes.set(one, at);
    at += one.length;
  }
  return bytes;
}

async function joinedValues(each: readonly Promise<Float32Array>[]): Promise<Float32Array> {
  const bytes = await joined(
    each.map(async (one) => {
      const { buffer, byteOffset, byteLength } = await one;
      return new Uint8Array(buffer, byteOffset, byteLength);
    }),
  );
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

/** Tensors with these weights, to be stored in this dtype. */
export const healedTensors = (
  spec: ModelSpec,
  weights: CpuWeights,
  dtype: NamedTensor['dtype'],
): ChildTensor[] =>
  storedTensors(spec).map(({ name, shape, rows }) =>
    tensorOf({ name, shape }, dtype, () => joinedValues(rows.map(async (each) => weights[each.name]!.data))),
  );

/** Maps by layer as the tensors of a file of their own. */
export const mapTensors = (
  maps: ReadonlyMap<number, LinearMap>,
  dtype: NamedTensor['dtype'],
): ChildTensor[] =>
  [...maps].flatMap(([layer, { d, W, b }]) => [
    tensorOf({ name: `${mapName(layer)}.weight`, shape: [d, W.length / d] }, dtype, async () =>
      Float32Array.from(W),
    ),
    tensorOf({ name: `${mapName(layer)}.bias`, shape: [d] }, dtype, async () => Float32Array.from(b)),
  ]);

/** Tensors of a linear map by name. */
const linearTensors = ({ down, up }: LinearMixer, { W, b, factors }: LinearMap): [string, Float64Array][] => [
  ...(down ? [[`${down.name}.weight`, factors!.down] as [string, Float64Array]] : []),
  [`${up.name}.weight`, down ? factors!.up : W],
  [`${up.name}.bias`, b],
];

/** A tensor of values that are computed when it is to be written. */
function tensorOf(
  { name, shape }: TensorSpec,
  dtype: NamedTensor['dtype'],
  values: () => Promise<Float32Array>,
): ChildTensor {
  const read = async (): Promise<Uint8Array> => {
    const data = await values();
    const over = dtype === 'F16' ? firstF16Overflow(data) : -1;
    if (over >= 0)
      throw new ShishuError(
        'unsupported',
        `Tensor "${name}" holds ${data[over]}, which the parent's F16 cannot.`,
        {
          details: { tensor: name, value: data[over]! },
          mend: 'Convert from a BF16 or F32 copy of the parent.',
        },
      );
    return tensorBytes({ name, dtype, shape, data });
  };
  return { name, dtype, shape, read };
}

import { ShishuError } from '../errors.ts';
import { guardMemory, type Ledger } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/device.ts';
import { rowBytes, type Weight } from '../kernels/tensor.ts';
import { padRows } from './pack.ts';
import { pruned } from './prune.ts';
import type { Plan } from './spec.ts';
import type { Weights } from './weights.ts';

/** `a = W z + b`: what stands in for a block's attention; W `(d, d)` row-major `(out, in)`, b `(d)`; with several inputs `(d, inputs * d)`. */
export interface LinearMapData {
  W: Float32Array<ArrayBuffer>;
  b: Float32Array<ArrayBuffer>;
}

/**
 * Maps by layer, checked against the model.
 * @param plan as loaded
 * @param d hidden size
 * @throws ShishuError `bad-argument`
 */
export function checkLinearMaps(
  plan: Plan,
  d: number,
  maps: Readonly<Record<number, LinearMapData>>,
): [layer: number, LinearMapData][] {
  const entries = Object.entries(maps).map(([layer, map]): [number, LinearMapData] => [Number(layer), map]);
  // Refuses what is no attention block.
  pruned(plan, Object.fromEntries(entries.map(([layer]) => [layer, 'skip' as const])), new Set());
  for (const [layer, map] of entries)
    for (const [name, length] of [
      ['W', d * d],
      ['b', d],
    ] as const) {
      const values: unknown = map?.[name];
      if (!(values instanceof Float32Array) || values.length !== length)
        throw new ShishuError(
          'bad-argument',
          `${name} of layer ${layer}'s linear map is not a Float32Array of ${length}.`,
          {
            details: { layer, name, length: values instanceof Float32Array ? values.length : null },
          },
        );
      const odd = values.findIndex((value) => !Number.isFinite(value));
      if (odd >= 0)
        throw new ShishuError(
          'bad-argument',
          `${name}[${odd}] of layer ${layer}'s linear map is ${values[odd]}.`,
          { details: { layer, name, index: odd } },
        );
    }
  return entries;
}

/**
 * Puts a layer's map on the GPU as f32, so that plans may run the layer as `linear`. An earlier map of the same size is written over
 * in its own buffers: forwards that are recorded already then use the new one.
 */
export function installLinearMap(
  gpu: Gpu,
  ledger: Ledger,
  weights: Weights,
  layer: number,
  { W, b }: LinearMapData,
): void {
  const d = b.length;
  const cols = W.length / d;
  let map = weights.linear.get(layer);
  if (map?.up.cols !== cols) {
    if (map) release(ledger, map.up);
    map = { down: undefined, up: emptyMap(gpu, ledger, layer, d, cols) };
    weights.linear.set(layer, map);
  }
  const { queue } = gpu.device;
  for (const { row0, rows, codes, vectors } of map.up.parts) {
    queue.writeBuffer(codes, 0, padRows(W.subarray(row0 * cols, (row0 + rows) * cols), cols));
    queue.writeBuffer(vectors!, 0, b.subarray(row0, row0 + rows));
  }
}

/**
 * Puts maps on the GPU. Where they do not fit, those that are new are gone again.
 * @throws ShishuError `out-of-memory`
 */
export async function installLinearMaps(
  gpu: Gpu,
  ledger: Ledger,
  weights: Weights,
  maps: readonly (readonly [layer: number, LinearMapData])[],
): Promise<void> {
  const before = new Set(weights.linear.keys());
  try {
    await guardMemory(gpu, 'linear maps', () => {
      for (const [layer, map] of maps) installLinearMap(gpu, ledger, weights, layer, map);
    });
  } catch (error) {
    for (const [layer, { up }] of [...weights.linear].filter(([layer]) => !before.has(layer))) {
      weights.linear.delete(layer);
      release(ledger, up);
    }
    throw error;
  }
}

function release(ledger: Ledger, { parts }: Weight): void {
  for (const { codes, vectors } of parts) for (const buffer of [codes, vectors!]) ledger.release(buffer);
}

/** Room for a map, in as many parts as the largest binding asks for. */
function emptyMap(gpu: Gpu, ledger: Ledger, layer: number, d: number, cols: number): Weight {
  const label = `block ${layer} linear`;
  const bytes = rowBytes('f32', cols).codes;
  const most = Math.max(4, 4 * Math.floor(gpu.limits.binding / bytes / 4));
  const map: Weight = { rows: d, cols, parts: [], hasGain: false, hasBias: true };
  for (let row0 = 0; row0 < d; row0 += most) {
    const rows = Math.min(most, d - row0);
    map.parts.push({
      row0,
      rows,
      dtype: 'f32',
      codes: ledger.storage(label, rows * bytes, 'weights'),
      scales: undefined,
      vectors: ledger.storage(`${label} vectors`, 4 * rows, 'weights'),
    });
  }
  return map;
}

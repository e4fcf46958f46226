import { bytesToF32 } from '../formats/float.ts';
import { readOptionalJson } from '../formats/json.ts';
import { readHeader } from '../formats/safetensors.ts';
import type { Source } from '../formats/source.ts';
import type { LinearMapData } from '../model/linear-maps.ts';

/** The file beside a model's weights with the order in which its attention may go; also `shishulm analyze --out` writes it. */
export const ANALYSIS_FILE = 'analysis.json';
/** The file beside it with the maps that stand in for attention that goes. */
export const MAPS_FILE = 'analysis.safetensors';

/** Layers in the order in which they are missed least, skipped or linear. */
export interface AnalysedOrder {
  skip: number[];
  linear: number[];
}

/** What a model's folder says of attention that may go. */
export interface AnalysisFile {
  order: AnalysedOrder;
  /** The file with maps of these layers, where there is one. */
  maps?: typeof MAPS_FILE;
}

/** An order without the layers that have lost their attention. */
export function orderWithout({ skip, linear }: AnalysedOrder, layers: readonly number[]): AnalysedOrder {
  const rest = (order: readonly number[]): number[] => order.filter((layer) => !layers.includes(layer));
  return { skip: rest(skip), linear: rest(linear) };
}

/** Of the tensors of a layer's map. */
export const mapName = (layer: number): string => `model.layers.${layer}.linear_attn`;

/**
 * The analysis beside a model's weights, and its maps by layer; undefined where there is none.
 * @throws ShishuError `bad-config`, `bad-checkpoint`, `io`
 */
export async function readAnalysis(
  source: Source,
): Promise<{ order: AnalysedOrder; maps: Record<number, LinearMapData> } | undefined> {
  const json = (await readOptionalJson(source, ANALYSIS_FILE, { code: 'bad-config' })) as
    | AnalysisFile
    | undefined;
  if (!json) return undefined;
  const maps: Record<number, LinearMapData> = {};
  if (json.maps !== MAPS_FILE) return { order: json.order, maps };
  const { tensors } = await readHeader(source, MAPS_FILE);
  for (const [name, { start, end, dtype }] of tensors) {
    const [, layer, part] = /^model\.layers\.(\d+)\.linear_attn\.(weight|bias)$/.exec(name) ?? [];
    if (layer === undefined) continue;
    const values = bytesToF32(await source.read(MAPS_FILE, start, end), dtype as 'F32' | 'F16' | 'BF16');
    maps[Number(layer)] = { ...maps[Number(layer)]!, [part === 'weight' ? 'W' : 'b']: values };
  }
  return { order: json.order, maps };
}

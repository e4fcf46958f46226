import { ShishuError } from '../errors.ts';

/** What the caller asks of the child; at most one of these, by default half of the attention goes. */
export interface Target {
  /** Attention blocks to keep. */
  keepAttention?: number | undefined;
  /** Layers to take the attention from. */
  layers?: readonly number[] | undefined;
  /** Share of the parent's bytes (weights and KV) to save, (0, 1). */
  saveMemory?: number | undefined;
  /** Share by which perplexity may rise on text that nothing was fitted to, above 0. */
  maxPerplexity?: number | undefined;
}

const refuse = (message: string, mend: string, details = {}): never => {
  throw new ShishuError('bad-argument', message, { details, mend });
};

/**
 * How many blocks lose their attention, or which; neither where perplexity decides.
 * @param bytesAt bytes of the child with that many MLP-only blocks; `bytesAt(0)` is the parent
 * @throws ShishuError `bad-argument` for a target that cannot be reached
 */
export function targetOf(
  { keepAttention, layers, saveMemory, maxPerplexity }: Target,
  blocks: number,
  bytesAt: (mlpOnly: number) => number,
): { count?: number; layers?: readonly number[] } {
  const given = [keepAttention, layers, saveMemory, maxPerplexity];
  if (given.filter((target) => target !== undefined).length > 1)
    refuse(
      'More than one target was given.',
      'Give the blocks to keep, or the layers, or the memory, or the perplexity.',
    );
  if (layers) return checkedLayers(layers, blocks);
  if (maxPerplexity !== undefined) {
    if (!(maxPerplexity > 0 && Number.isFinite(maxPerplexity)))
      refuse(`Perplexity may rise by ${maxPerplexity}.`, 'Give a share above 0, as 0.05.', { maxPerplexity });
    return {};
  }
  if (saveMemory !== undefined) {
    const most = bytesAt(0) * (1 - saveMemory);
    for (let count = 1; count <= blocks; count++) if (bytesAt(count) <= most) return { count };
    const best = 1 - bytesAt(blocks) / bytesAt(0);
    return refuse(
      `${(100 * saveMemory).toFixed(1)} % less memory cannot be reached: without any attention it is ${(100 * best).toFixed(1)} % less.`,
      'Ask for less, or share pairs of MLPs.',
      { asked: saveMemory, most: best },
    );
  }
  const keep = keepAttention ?? Math.ceil(blocks / 2);
  if (!Number.isInteger(keep) || keep < 0 || keep >= blocks)
    refuse(
      `${keep} attention blocks cannot be kept of ${blocks}.`,
      `Give a whole number from 0 to ${blocks - 1}.`,
      { keep, blocks },
    );
  return { count: blocks - keep };
}

function checkedLayers(
  layers: readonly number[],
  blocks: number,
): { count: number; layers: readonly number[] } {
  const sorted = [...new Set(layers)].sort((a, b) => a - b);
  if (sorted.length === 0) return refuse('No layer was given.', `Layers are 0 to ${blocks - 1}.`);
  const invalid = sorted.find((layer) => !Number.isInteger(layer) || layer < 0 || layer >= blocks);
  if (invalid !== undefined)
    refuse(`Layer ${invalid} is not an attention block.`, `Layers are 0 to ${blocks - 1}.`, {
      layer: invalid,
      blocks,
    });
  return { count: sorted.length, layers: sorted };
}

/** Layers from a list of numbers and ranges, as 3,5-8. @throws ShishuError `bad-argument` */
export function layersOf(text: string): number[] {
  return text.split(',').flatMap((range) => {
    const [, from, to] = /^\s*(\d+)(?:\s*-\s*(\d+))?\s*$/.exec(range) ?? [];
    if (from === undefined || Number(to ?? from) < Number(from) || Number(to ?? from) > 9999)
      return refuse(`The list of layers holds "${range}".`, 'Give layers and ranges, as 5,6 or 5-8.');
    return Array.from({ length: Number(to ?? from) - Number(from) + 1 }, (_, i) => Number(from) + i);
  });
}

/** Layers, ascending, as a list of numbers and ranges. */
export function layersText(layers: readonly number[]): string {
  const runs: number[][] = [];
  for (const layer of layers) {
    const last = runs.at(-1);
    if (last?.at(-1) === layer - 1) last.push(layer);
    else runs.push([layer]);
  }
  return runs.map((run) => (run.length > 1 ? `${run[0]}-${run.at(-1)}` : `${run[0]}`)).join(',');
}

/** The share by which perplexity may rise, from +5% (or 5%, or 5). @throws ShishuError `bad-argument` */
export function riseOf(text: string): number {
  const percent = Number(/^\+?(\d+(?:\.\d+)?) ?%?$/.exec(text.trim())?.[1]);
  if (!(percent > 0)) return refuse(`The most perplexity is "${text}".`, 'Give its rise in percent, as +5%.');
  return percent / 100;
}

/** The share to save from -25% (or 25%, or 25). @throws ShishuError `bad-argument` */
export function savingOf(text: string): number {
  const percent = Number(/^-?(\d+(?:\.\d+)?) ?%?$/.exec(text.trim())?.[1]);
  if (!(percent > 0 && percent < 100))
    return refuse(`The target memory is "${text}".`, 'Give the saving in percent, as -25%.');
  return percent / 100;
}

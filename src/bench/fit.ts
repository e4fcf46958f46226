import { sizeOf } from '../engine/size.ts';
import { ShishuError } from '../errors.ts';
import type { Gpu } from '../gpu/device.ts';
import { type ChosenDtype, DTYPES } from '../quant/index.ts';
import { type Described, describe, type OpenFolder, type SessionOptions } from './open.ts';
import { type BenchSettings, batchContext, contextOf } from './settings.ts';

/** Bytes for people: powers of 1000. */
export function bytesText(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const at = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, bytes)) / 3)));
  return `${Number((bytes / 1000 ** at).toPrecision(3))} ${units[at]}`;
}

/** The sessions that a run opens one after the other: for one sequence, then for each batch. */
export function sessionOptions(settings: BenchSettings): [SessionOptions, ...SessionOptions[]] {
  const { dtype, kv } = settings;
  return [
    { dtype, kv, contextLength: contextOf(settings), batch: 1 },
    ...settings.batches.map((batch) => ({ dtype, kv, contextLength: batchContext(settings), batch })),
  ];
}

/** Why the pair does not fit; undefined when it may. */
function problemOf(
  gpu: Gpu,
  pair: readonly Described[],
  settings: BenchSettings,
  budget: number,
): { message: string; details: ShishuError['details'] } | undefined {
  for (const options of sessionOptions(settings)) {
    const sizes = pair.map(({ spec }) => sizeOf(gpu, spec, options));
    for (const { largest } of sizes)
      if (largest.bytes > gpu.limits.binding)
        return {
          message: `The buffer "${largest.label}" needs ${bytesText(largest.bytes)}, the GPU binds at most ${bytesText(gpu.limits.binding)}.`,
          details: { buffer: largest.label, bytes: largest.bytes, limit: gpu.limits.binding },
        };
    const bytes = sizes.reduce((sum, size) => sum + size.bytes.total, 0);
    if (bytes > budget) {
      const names = pair.map(({ label }) => label).join(' and ');
      return {
        message: `${names} together need ${bytesText(bytes)}, the limit is ${bytesText(budget)}.`,
        details: { bytes, limit: budget },
      };
    }
  }
  return undefined;
}

/** The dtypes smaller than one, from large to small. */
const smallerDtypes = (dtype: ChosenDtype): readonly ChosenDtype[] => DTYPES.slice(DTYPES.indexOf(dtype) + 1);

/** Settings that ask for less, from the smallest change to the largest, each with its description. */
function* smaller(settings: BenchSettings, layers: number): Generator<[words: string, BenchSettings]> {
  for (let kept = settings.batches.length - 1; kept >= 0; kept--) {
    const batches = settings.batches.slice(0, kept);
    yield [kept ? `batches up to ${batches.at(-1)}` : 'batches left out', { ...settings, batches }];
  }
  for (const dtype of smallerDtypes(settings.dtype)) yield [`weights in ${dtype}`, { ...settings, dtype }];
  const most = contextOf(settings);
  for (let context = 2 ** Math.floor(Math.log2(most / 2)); context >= 64; context /= 2) {
    const under = (values: readonly number[]): number[] => values.filter((value) => value < context / 2);
    yield [
      `prompts and positions below ${context / 2}`,
      { ...settings, prompts: under(settings.prompts), positions: under(settings.positions) },
    ];
  }
  if (settings.parent.kind === 'shape' && settings.child.kind === 'shape')
    for (let blocks = Math.floor(layers / 2); blocks >= 1; blocks = Math.floor(blocks / 2))
      yield [`a slice of ${blocks} block${blocks === 1 ? '' : 's'}`, { ...settings, blocks }];
}

/**
 * Refuses what does not fit, before anything is allocated, and says what would. WebGPU does not tell how much memory a GPU
 * has: `budget` (bytes) is the caller's guess or the user's setting.
 * @throws ShishuError `does-not-fit`
 */
export async function checkFit(
  gpu: Gpu,
  pair: readonly Described[],
  settings: BenchSettings,
  budget: number,
  openFolder: OpenFolder,
): Promise<void> {
  const problem = problemOf(gpu, pair, settings, budget);
  if (!problem) return;
  const layers = Math.max(...pair.map(({ spec }) => spec.blocks.length));
  const suits = async (less: BenchSettings): Promise<boolean> => {
    const { blocks } = less;
    const described =
      blocks === settings.blocks
        ? pair
        : await Promise.all(
            [less.parent, less.child].map((asked) => describe(asked, { blocks, openFolder })),
          );
    return !problemOf(gpu, described, less, budget);
  };
  const fits: string[] = [];
  for (const [words, less] of smaller(settings, layers)) {
    const kind = words.split(' ')[0]!;
    if (!fits.some((found) => found.startsWith(kind)) && (await suits(less))) fits.push(words);
  }
  // Where no single change is enough, all of them together may be.
  if (fits.length === 0) {
    const smallest = DTYPES.at(-1)!;
    const least: BenchSettings = { ...settings, dtype: smallest, batches: [] };
    if (await suits(least)) fits.push(`weights in ${smallest} and no batches`);
    else
      for (const [words, less] of smaller(least, layers))
        if (fits.length === 0 && (await suits(less)))
          fits.push(`weights in ${smallest}, no batches and ${words}`);
  }
  throw new ShishuError('does-not-fit', problem.message, {
    details: problem.details,
    mend: fits.length > 0 ? `What fits: ${fits.join('; or ')}.` : 'Choose a smaller model.',
  });
}

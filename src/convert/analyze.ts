import type { Runner } from '../engine/runner.ts';
import { throwIfAborted } from '../errors.ts';
import { markdownTable } from '../markdown.ts';
import {
  elements,
  feedForwardTensors,
  kvBytesPerToken,
  mixerTensors,
  type Plan,
  type TensorSpec,
} from '../model/spec.ts';
import type { AnalysedOrder } from './analysis-file.ts';
import { type CalibrateOptions, calibrate, perplexity, prunedModel, wholePerplexity } from './calibrate.ts';
import { makeCapture } from './capture.ts';
import { type Choice, type ChooseOptions, choiceText, chooseBlocks } from './choose.ts';
import type { Fit } from './fit.ts';
import type { OnGpu } from './on-gpu.ts';
import { recallListsOf } from './recall.ts';
import { timeBlocks } from './time-blocks.ts';
import { type TokenCounts, type TokenWindows, tokenCounts, type Windows } from './windows.ts';

/** R^2 of tokens `from .. to - 1` of their windows. */
export interface ContextBucket {
  from: number;
  to: number;
  tokens: number;
  r2: number;
}

/** What one block's attention does, and what is lost without it; all measured on test windows. */
export interface BlockReport {
  layer: number;
  /** R^2 of the linear map of z = x / rms(x) to the attention's output, without the residual. */
  r2: number;
  r2ByContext: ContextBucket[];
  /** Regularisation of the map, as a share of the mean eigenvalue of cov(z). */
  alpha: number;
  /** 1 - mean cos(x, x + a). */
  blockInfluence: number;
  /** Mean cosine of the attention's output and the map's. */
  cosine: number;
  /** Of the model with this block's attention alone dropped, or replaced by its map. */
  perplexity: { skip: number; linear: number };
  /** Of the weights of the attention with its norm, of its map and of the MLP with its norm as stored, and of K and V (f32). */
  bytes: { attention: number; map: number; mlp: number; kvPerToken: number };
  /** GPU time of one token at the end of a window, microseconds; null without timestamp-query. */
  time: { attention: number; map: number; mlp: number } | null;
}

export interface Analysis {
  tokens: TokenCounts;
  /** Tokens of a window. */
  window: number;
  /** How the times were measured, or why there are none. */
  timeNote: string;
  perplexity: number;
  blocks: BlockReport[];
  /** Layers in the order in which they are chosen one by one, as far as was asked for; the others by what they cost when last measured. */
  order: AnalysedOrder;
  /** How they were chosen. */
  choices: { skip: Choice; linear: Choice };
}

/** First positions of the context buckets. */
const BUCKETS = [0, 4, 16, 64, 256, 1024, 4096];

/** Sums for R^2 over some tokens. */
class R2Sums {
  n = 0;
  residual = 0;
  square = 0;
  readonly sum: Float64Array;

  constructor(d: number) {
    this.sum = new Float64Array(d);
  }

  add(a: Float64Array, guess: Float64Array): void {
    this.n++;
    for (let i = 0; i < a.length; i++) {
      this.residual += (a[i]! - guess[i]!) ** 2;
      this.square += a[i]! ** 2;
      this.sum[i]! += a[i]!;
    }
  }

  get r2(): number {
    const mean = this.sum.reduce((sum, value) => sum + value * value, 0) / this.n;
    return 1 - this.residual / (this.square - mean);
  }
}

function cosine(a: Float64Array, b: Float64Array): number {
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    ab += a[i]! * b[i]!;
    aa += a[i]! ** 2;
    bb += b[i]! ** 2;
  }
  return aa > 0 && bb > 0 ? ab / Math.sqrt(aa * bb) : 0;
}

type Measured = Pick<BlockReport, 'r2' | 'r2ByContext' | 'blockInfluence' | 'cosine'>;

/** How well the maps of layers (ascending) do on windows they have not seen, each block on the parent's own input. */
export async function measureMaps(
  runner: Runner,
  plan: Plan,
  layers: readonly number[],
  test: TokenWindows,
  signal?: AbortSignal,
): Promise<Map<number, Measured>> {
  const d = runner.parts.spec.hiddenSize;
  const sums = new Map(
    layers.map((layer) => [layer, { all: new R2Sums(d), buckets: [] as R2Sums[], influence: 0, cosine: 0 }]),
  );
  const capture = await makeCapture(runner, plan, layers);
  try {
    for (const window of test) {
      throwIfAborted(signal);
      await capture.run(window, (layer, position, { x, a, guess }) => {
        const sum = sums.get(layer)!;
        const bucket = BUCKETS.findLastIndex((from) => position >= from);
        sum.buckets[bucket] ??= new R2Sums(d);
        sum.buckets[bucket].add(a, guess);
        sum.all.add(a, guess);
        sum.cosine += cosine(a, guess);
        sum.influence +=
          1 -
          cosine(
            x,
            x.map((value, i) => value + a[i]!),
          );
      });
    }
  } finally {
    capture.close();
  }
  return new Map(
    [...sums].map(([layer, { all, buckets, influence, cosine }]) => {
      const r2ByContext = [...buckets.entries()].flatMap(([i, bucket]): ContextBucket[] =>
        // A bucket of one position has one token of each window, which may not differ at all.
        bucket
          ? [{ from: BUCKETS[i]!, to: BUCKETS[i + 1] ?? Infinity, tokens: bucket.n, r2: bucket.r2 }]
          : [],
      );
      return [layer, { r2: all.r2, r2ByContext, blockInfluence: influence / all.n, cosine: cosine / all.n }];
    }),
  );
}

/**
 * Measures every attention block of a model, and fits and installs its linear map (each on the parent's own input); then chooses
 * blocks one by one, dropped and with their maps.
 * @param storedBytes bytes of a weight in the folder, for the report
 * @param count how many blocks are chosen (default a third); the others follow by what they cost
 */
export async function analyze(
  { runner, plan, tokenizer }: Pick<OnGpu, 'runner' | 'plan' | 'tokenizer'>,
  windows: Windows,
  {
    storedBytes,
    count,
    choosing = {},
    signal,
    onProgress,
  }: Pick<CalibrateOptions, 'signal' | 'onProgress'> & {
    storedBytes: number;
    count?: number | undefined;
    choosing?: Pick<ChooseOptions, 'weights' | 'among'>;
  },
): Promise<{ analysis: Analysis; fits: Map<number, Fit> }> {
  const model = { runner, plan };
  const { spec } = runner.parts;
  const attending = plan.filter((block) => block.kind === 'attention');
  const layers = attending.map(({ layer }) => layer);
  // Progress is counted in windows: maps are fitted to the calibration and choosing windows, all is measured on test windows.
  const calibrating = windows.calibration.length + windows.choosing.length;
  const measuring = calibrating + windows.test.length * (2 + 2 * layers.length);
  // Choosing is about as much for each of both ways: a third of all, until it has said what it takes.
  const total = 1.5 * measuring;
  let done = 0;
  const step = async <T>(measuring: Promise<T>): Promise<T> => {
    const value = await measuring;
    done += windows.test.length;
    onProgress?.(done, total);
    return value;
  };
  const whole = await step(wholePerplexity(model, windows.test, signal));
  const fits = await calibrate(runner, plan, windows, layers, {
    signal,
    onProgress: (at, of) => onProgress?.(done + (calibrating * at) / of, total),
  });
  done += calibrating;
  const measured = await step(measureMaps(runner, plan, layers, windows.test, signal));
  const position = windows.test[0]!.length - 1;
  const attentionTimes = await timeBlocks(runner, plan, position);
  const mapTimes = await timeBlocks(runner, prunedModel(model, layers, 'linear').plan, position);
  const bytesOf = (tensors: readonly TensorSpec[]): number =>
    tensors.reduce((sum, tensor) => sum + storedBytes * elements(tensor), 0);
  const blocks: BlockReport[] = [];
  for (const block of attending) {
    const { layer } = block;
    const under = (mode: 'skip' | 'linear'): Promise<number> =>
      step(perplexity(prunedModel(model, [layer], mode), windows.test, signal));
    blocks.push({
      layer,
      ...measured.get(layer)!,
      alpha: fits.get(layer)!.alpha,
      perplexity: { skip: await under('skip'), linear: await under('linear') },
      bytes: {
        attention: bytesOf(mixerTensors(spec.blocks[layer]!.mixer, spec.hiddenSize)),
        map: storedBytes * spec.hiddenSize * (spec.hiddenSize + 1),
        mlp: bytesOf(feedForwardTensors(spec.blocks[layer]!.feedForward, spec.hiddenSize)),
        kvPerToken: kvBytesPerToken(spec, [block], 4),
      },
      time:
        attentionTimes && mapTimes
          ? {
              attention: attentionTimes.get(layer)!.mixer,
              map: mapTimes.get(layer)!.mixer,
              mlp: attentionTimes.get(layer)!.mlp,
            }
          : null,
    });
  }
  const lists = recallListsOf({ runner, tokenizer }, windows);
  const choose = async (mode: 'skip' | 'linear'): Promise<Choice> => {
    const begun = done;
    const share = (total - measuring) / 2;
    const choice = await chooseBlocks(runner, plan, windows.choosing, lists, {
      mode,
      count: count ?? Math.round(layers.length / 3),
      ...choosing,
      signal,
      onProgress: (at, of) => onProgress?.(begun + (share * at) / of, total),
    });
    done = begun + share;
    onProgress?.(done, total);
    return choice;
  };
  const choices = { skip: await choose('skip'), linear: await choose('linear') };
  return {
    analysis: {
      tokens: tokenCounts(windows),
      window: windows.test[0]!.length,
      timeNote: attentionTimes
        ? `GPU time of one token at position ${position}, by timestamp-query with each launch in a pass of its own: shares, not speed.`
        : 'This adapter has no timestamp-query: no GPU times.',
      perplexity: whole,
      blocks,
      order: { skip: choices.skip.order, linear: choices.linear.order },
      choices,
    },
    fits,
  };
}

/** An analysis as a table in Markdown. */
export function analysisTable(analysis: Analysis): string {
  const { tokens, window, timeNote, perplexity, blocks, order, choices } = analysis;
  const columns = columnsOf(analysis, String);
  return [
    `Perplexity ${perplexity.toFixed(3)} on ${tokens.test} test tokens in windows of ${window}; maps fitted to ${tokens.calibration} tokens, chosen by ${tokens.choosing}.`,
    timeNote,
    '',
    ...markdownTable(
      columns.map(([name]) => name),
      blocks.map((block) => columns.map(([, cell]) => cell(block))),
      0,
    ),
    '',
    `From the least missed to the most: skipped ${order.skip.join(' ')}; linear ${order.linear.join(' ')}.`,
    ...(['skip', 'linear'] as const).map((mode) =>
      choiceText(mode === 'skip' ? 'skipped' : 'linear', choices[mode]),
    ),
  ].join('\n');
}

/** The columns of an analysis' table: a name, and a block's cell. Times are left out where there are none. */
export function columnsOf(
  { blocks }: Analysis,
  bytes: (count: number) => string,
): [name: string, cell: (block: BlockReport) => string][] {
  const timed = blocks.some(({ time }) => time);
  const time = (half: keyof NonNullable<BlockReport['time']>, name: string): ReturnType<typeof columnsOf> =>
    timed ? [[`${name} µs`, (block) => block.time![half].toFixed(1)]] : [];
  return [
    ['block', ({ layer }) => String(layer)],
    ['R²', ({ r2 }) => r2.toFixed(3)],
    ...(blocks[0]?.r2ByContext ?? []).map(({ from }, i): [string, (block: BlockReport) => string] => [
      `R² from ${from}`,
      ({ r2ByContext }) => r2ByContext[i]!.r2.toFixed(3),
    ]),
    ['influence', ({ blockInfluence }) => blockInfluence.toFixed(4)],
    ['cosine', ({ cosine }) => cosine.toFixed(3)],
    ['perplexity, skipped', ({ perplexity }) => perplexity.skip.toFixed(3)],
    ['perplexity, linear', ({ perplexity }) => perplexity.linear.toFixed(3)],
    ...time('attention', 'attention'),
    ...time('map', 'map'),
    ...time('mlp', 'MLP'),
    ['attention bytes', (block) => bytes(block.bytes.attention)],
    ['map bytes', (block) => bytes(block.bytes.map)],
    ['MLP bytes', (block) => bytes(block.bytes.mlp)],
    ['KV bytes a token', (block) => bytes(block.bytes.kvPerToken)],
  ];
}

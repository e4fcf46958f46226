import type { Runner } from '../engine/runner.ts';
import { throwIfAborted } from '../errors.ts';
import { kvBytesPerToken, type Plan, tensorSpecs } from '../model/plan.ts';
import { pruned } from '../model/prune.ts';
import { type CalibrateOptions, calibrate, perplexity } from './calibrate.ts';
import { makeCapture } from './capture.ts';
import { apply, type Fit } from './fit.ts';
import { countTokens, type Windows } from './windows.ts';

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
  /** Of the attention's weights, of the map's, and of K and V (f32), in bytes as stored. */
  bytes: { attention: number; map: number; kvPerToken: number };
}

export interface Analysis {
  tokens: { calibration: number; choosing: number; test: number };
  /** Tokens of a window. */
  window: number;
  perplexity: number;
  blocks: BlockReport[];
  /** Layers from the least missed to the most, by perplexity without each alone. */
  order: { skip: number[]; linear: number[] };
}

/** Context buckets begin here. */
const BUCKETS = [0, 4, 16, 64, 256, 1024, 4096];

/** Sums for R^2 over some tokens. */
class Spread {
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

/** How well maps do on windows they have not seen, each block on the parent's own input. */
export async function measureMaps(
  runner: Runner,
  plan: Plan,
  fits: ReadonlyMap<number, Fit>,
  test: readonly (readonly number[])[],
  signal?: AbortSignal,
): Promise<Map<number, Measured>> {
  const d = runner.parts.config.hiddenSize;
  const layers = [...fits.keys()].sort((a, b) => a - b);
  const sums = new Map(
    layers.map((layer) => [layer, { all: new Spread(d), buckets: [] as Spread[], influence: 0, cosine: 0 }]),
  );
  const capture = await makeCapture(runner, plan, layers);
  try {
    for (const window of test) {
      throwIfAborted(signal);
      await capture.run(window, (layer, position, { x, z, a }) => {
        const sum = sums.get(layer)!;
        const guess = apply(fits.get(layer)!, z);
        const bucket = BUCKETS.findLastIndex((from) => position >= from);
        sum.buckets[bucket] ??= new Spread(d);
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
        // A bucket of one position has one token a window, and may have no spread to explain.
        bucket
          ? [{ from: BUCKETS[i]!, to: BUCKETS[i + 1] ?? Infinity, tokens: bucket.n, r2: bucket.r2 }]
          : [],
      );
      return [layer, { r2: all.r2, r2ByContext, blockInfluence: influence / all.n, cosine: cosine / all.n }];
    }),
  );
}

/**
 * Measures every attention block of a model, and fits and installs its linear map (each on the parent's own input).
 * @param storedBytes bytes of a weight in the folder, for the report
 */
export async function analyze(
  runner: Runner,
  plan: Plan,
  windows: Windows,
  { storedBytes, ...options }: Omit<CalibrateOptions, 'sequential'> & { storedBytes: number },
): Promise<{ analysis: Analysis; fits: Map<number, Fit> }> {
  const { config } = runner.parts;
  const attending = plan.filter((block) => block.kind === 'attention');
  const layers = attending.map(({ layer }) => layer);
  const { signal, onProgress } = options;
  // In windows: maps see the calibration and choosing sets once, all that is measured the test set.
  const calibrating = windows.calibration.length + windows.choosing.length;
  const total = calibrating + windows.test.length * (2 + 2 * layers.length);
  let done = calibrating;
  const step = async <T>(measuring: Promise<T>): Promise<T> => {
    const value = await measuring;
    done += windows.test.length;
    onProgress?.(done, total);
    return value;
  };
  const fits = await calibrate(runner, plan, windows, layers, {
    signal,
    onProgress: (at) => onProgress?.(at, total),
  });
  const measured = await step(measureMaps(runner, plan, fits, windows.test, signal));
  const specs = tensorSpecs(config);
  const blocks: BlockReport[] = [];
  for (const block of attending) {
    const { layer } = block;
    const weights = specs
      .filter(({ name }) =>
        new RegExp(`^model\\.layers\\.${layer}\\.(self_attn|input_layernorm)\\.`).test(name),
      )
      .reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
    const under = (mode: 'skip' | 'linear'): Promise<number> =>
      step(perplexity(runner, pruned(plan, { [layer]: mode }, fits), windows.test, signal));
    blocks.push({
      layer,
      ...measured.get(layer)!,
      alpha: fits.get(layer)!.alpha,
      perplexity: { skip: await under('skip'), linear: await under('linear') },
      bytes: {
        attention: storedBytes * weights,
        map: storedBytes * config.hiddenSize * (config.hiddenSize + 1),
        kvPerToken: kvBytesPerToken(config, [block], 4),
      },
    });
  }
  const order = (mode: 'skip' | 'linear'): number[] =>
    [...blocks].sort((a, b) => a.perplexity[mode] - b.perplexity[mode]).map(({ layer }) => layer);
  return {
    analysis: {
      tokens: {
        calibration: countTokens(windows.calibration),
        choosing: countTokens(windows.choosing),
        test: countTokens(windows.test),
      },
      window: windows.test[0]!.length,
      perplexity: await step(perplexity(runner, plan, windows.test, signal)),
      blocks,
      order: { skip: order('skip'), linear: order('linear') },
    },
    fits,
  };
}

/** An analysis as a table in Markdown. */
export function analysisTable({ tokens, window, perplexity, blocks, order }: Analysis): string {
  const row = (cells: readonly (string | number)[]): string => `| ${cells.join(' | ')} |`;
  const buckets = blocks[0]?.r2ByContext ?? [];
  const head = [
    'block',
    'R²',
    ...buckets.map(({ from }) => `R² from ${from}`),
    'influence',
    'cosine',
    'perplexity, skipped',
    'perplexity, linear',
    'attention bytes',
    'map bytes',
    'KV bytes a token',
  ];
  return [
    `Perplexity ${perplexity.toFixed(3)} on ${tokens.test} test tokens in windows of ${window}; maps fitted to ${tokens.calibration} tokens, chosen by ${tokens.choosing}.`,
    '',
    row(head),
    row(head.map(() => '---:')),
    ...blocks.map((block) =>
      row([
        block.layer,
        block.r2.toFixed(3),
        ...block.r2ByContext.map(({ r2 }) => r2.toFixed(3)),
        block.blockInfluence.toFixed(4),
        block.cosine.toFixed(3),
        block.perplexity.skip.toFixed(3),
        block.perplexity.linear.toFixed(3),
        block.bytes.attention,
        block.bytes.map,
        block.bytes.kvPerToken,
      ]),
    ),
    '',
    `From the least missed to the most: skipped ${order.skip.join(' ')}; linear ${order.linear.join(' ')}.`,
  ].join('\n');
}

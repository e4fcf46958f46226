import type { Runner } from '../engine/runner.ts';
import { scoreOf } from '../engine/scoring.ts';
import { ShishuError, throwIfAborted } from '../errors.ts';
import { installLinearMap } from '../model/linear-maps.ts';
import { type Mode, pruned } from '../model/prune.ts';
import type { Plan } from '../model/spec.ts';
import { ALPHAS, type Fit, fit } from './fit.ts';
import type { LinearMap } from './linear-map.ts';
import { layersWithin, type Moments, makeAccumulator } from './moments.ts';
import type { OnGpu } from './on-gpu.ts';
import type { TokenWindows, Windows } from './windows.ts';

export interface CalibrateOptions {
  /**
   * Fit from the bottom up, each map to the parent's attention output but from the input that its block gets once the blocks
   * below run linear. Costs two passes over the text a layer instead of one for all.
   */
  sequential?: boolean;
  /** Most that the maps' rank may be (default the hidden size). */
  rank?: number | undefined;
  /** Most bytes of sums on the GPU at a time (default 256 MiB): layers beyond it take another pass over the text. */
  budget?: number;
  signal?: AbortSignal | undefined;
  onProgress?: (done: number, total: number) => void;
}

/** A model on the GPU, and how its blocks run. */
export type LoadedModel = Pick<OnGpu, 'plan' | 'runner'>;

/** Puts a fitted map on the GPU. */
export function install({ parts, ledger }: Runner, layer: number, { W, b }: LinearMap): void {
  installLinearMap(parts.gpu, ledger, parts.weights, layer, {
    W: Float32Array.from(W),
    b: Float32Array.from(b),
  });
}

const BUDGET = 256 * 2 ** 20;

/**
 * Fits a linear map to the attention of each layer and installs it. The sums that a fit needs are made on the GPU.
 * @throws ShishuError `bad-argument` for values that are not finite and for singular systems, `does-not-fit`, `aborted`
 */
export async function calibrate(
  runner: Runner,
  plan: Plan,
  windows: Pick<Windows, 'calibration' | 'choosing'>,
  layers: readonly number[],
  { sequential = false, rank, budget = BUDGET, signal, onProgress }: CalibrateOptions = {},
): Promise<Map<number, Fit>> {
  const ascending = [...layers].sort((a, b) => a - b);
  const most = sequential ? 1 : layersWithin(budget, runner.parts.spec.hiddenSize);
  const groups = Array.from({ length: Math.ceil(ascending.length / most) }, (_, i) =>
    ascending.slice(i * most, (i + 1) * most),
  );
  const total = groups.length * (windows.calibration.length + windows.choosing.length);
  let done = 0;
  const fits = new Map<number, Fit>();
  const modes: Record<number, Mode> = {};
  for (const group of groups) {
    const student = sequential ? pruned(plan, modes, fits) : undefined;
    const accumulator = await makeAccumulator(runner, plan, group, student);
    const momentsOf = async (set: TokenWindows): Promise<Map<number, Moments>> => {
      for (const window of set) {
        throwIfAborted(signal);
        await accumulator.run(window);
        onProgress?.(++done, total);
      }
      return accumulator.take();
    };
    try {
      const calibration = await momentsOf(windows.calibration);
      const choosing = await momentsOf(windows.choosing);
      for (const layer of group) {
        // Solving takes seconds for a large model: lets a click or a signal that cancels come through.
        await new Promise((resume) => setTimeout(resume));
        throwIfAborted(signal);
        const found = fit(calibration.get(layer)!, choosing.get(layer)!, ALPHAS, rank);
        fits.set(layer, found);
        install(runner, layer, found);
        modes[layer] = 'linear';
      }
    } finally {
      accumulator.close();
    }
  }
  return fits;
}

/** A model with some layers in one mode. */
export function prunedModel(
  { plan, runner }: LoadedModel,
  layers: readonly number[],
  mode: Mode,
): LoadedModel {
  const modes = Object.fromEntries(layers.map((layer) => [layer, mode]));
  return { runner, plan: pruned(plan, modes, runner.parts.weights.linear) };
}

/**
 * The run of `count` neighbouring blocks that costs the least perplexity in a mode, measured on the choosing windows with the
 * whole run in that mode.
 */
export async function bestRun(
  model: LoadedModel,
  windows: Windows,
  count: number,
  mode: Mode,
  signal?: AbortSignal,
): Promise<{ layers: number[]; candidates: { front: number; perplexity: number }[] }> {
  const candidates: { front: number; perplexity: number }[] = [];
  const run = (front: number): number[] => Array.from({ length: count }, (_, i) => front + i);
  for (let front = 0; front + count <= model.plan.length; front++) {
    const without = prunedModel(model, run(front), mode);
    candidates.push({ front, perplexity: await perplexity(without, windows.choosing, signal) });
  }
  const best = candidates.reduce((a, b) => (b.perplexity < a.perplexity ? b : a));
  return { layers: run(best.front), candidates };
}

/** Perplexity of a model on windows: exp of the mean negative log-likelihood of all but their first tokens. */
export async function perplexity(
  { runner, plan }: LoadedModel,
  windows: TokenWindows,
  signal?: AbortSignal,
): Promise<number> {
  let [nats, tokens] = [0, 0];
  for (const window of windows) {
    const { logprobs } = await scoreOf(runner, plan, window, { signal });
    // The last row scores a token after the window.
    for (let i = 0; i < window.length - 1; i++) nats -= logprobs[i]!;
    tokens += window.length - 1;
  }
  return Math.exp(nats / tokens);
}

/** Perplexity of a model as it is. @throws ShishuError `bad-argument` when that is no number, as with NaN among the weights */
export async function wholePerplexity(
  model: LoadedModel,
  windows: TokenWindows,
  signal?: AbortSignal,
): Promise<number> {
  return finitePerplexity(await perplexity(model, windows, signal));
}

/** @throws ShishuError `bad-argument` for a model whose perplexity is no number */
export function finitePerplexity(value: number): number {
  if (Number.isFinite(value)) return value;
  throw new ShishuError('bad-argument', `The model's perplexity is ${value}.`, {
    details: { perplexity: value },
    mend: 'Its weights hold NaN or infinite values, or overflow on the way: check them, or convert from an F32 copy.',
  });
}

import type { Runner } from '../engine/runner.ts';
import { ShishuError, throwIfAborted } from '../errors.ts';
import { installLinearMap } from '../model/linear-maps.ts';
import type { Plan } from '../model/plan.ts';
import { type Mode, pruned } from '../model/prune.ts';
import { makeCapture } from './capture.ts';
import { ALPHAS, type Fit, fit } from './fit.ts';
import type { LinearMap } from './linear-map.ts';
import { Moments } from './moments.ts';
import type { Windows } from './windows.ts';

export interface CalibrateOptions {
  /**
   * Fit from the bottom up, each map to the parent's attention output but from the input that its block gets once the blocks
   * below run linear. Costs two passes over the text a layer instead of one for all.
   */
  sequential?: boolean;
  /** Most that the maps' rank may be (default the hidden size). */
  rank?: number | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: (done: number, total: number) => void;
}

/** Puts a fitted map on the GPU. */
export function install({ parts, ledger }: Runner, layer: number, { W, b }: LinearMap): void {
  installLinearMap(parts.gpu, ledger, parts.weights, layer, {
    W: Float32Array.from(W),
    b: Float32Array.from(b),
  });
}

/**
 * Fits a linear map to the attention of each layer and installs it. Hidden states are read back from the GPU and added up on
 * the CPU in f64.
 * @throws ShishuError `bad-argument` for values that are not finite and for singular systems, `aborted`
 */
export async function calibrate(
  runner: Runner,
  plan: Plan,
  windows: Pick<Windows, 'calibration' | 'choosing'>,
  layers: readonly number[],
  { sequential = false, rank, signal, onProgress }: CalibrateOptions = {},
): Promise<Map<number, Fit>> {
  const ascending = [...layers].sort((a, b) => a - b);
  const sets = ['calibration', 'choosing'] as const;
  const passes = sequential ? ascending.length : 1;
  const total = passes * sets.reduce((sum, set) => sum + windows[set].length, 0);
  let done = 0;
  const fits = new Map<number, Fit>();
  const modes: Record<number, Mode> = {};
  for (const group of sequential ? ascending.map((layer) => [layer]) : [ascending]) {
    const teacher = await makeCapture(runner, plan, group);
    const student = sequential ? await makeCapture(runner, pruned(plan, modes, fits), group) : undefined;
    try {
      const moments = new Map(
        group.map((layer) => {
          const make = (): Moments => new Moments(runner.parts.config.hiddenSize);
          return [layer, { calibration: make(), choosing: make() }];
        }),
      );
      for (const set of sets)
        for (const window of windows[set]) {
          throwIfAborted(signal);
          const targets: Float64Array[] = [];
          await teacher.run(window, (layer, position, pair) => {
            if (student) targets[position] = pair.a.slice();
            else moments.get(layer)![set].add(pair, `block ${layer}, position ${position}`);
          });
          await student?.run(window, (layer, position, { z }) => {
            const pair = { z, a: targets[position]! };
            moments.get(layer)![set].add(pair, `block ${layer}, position ${position}`);
          });
          onProgress?.(++done, total);
        }
      for (const [layer, { calibration, choosing }] of moments) {
        // Solving takes seconds for a large model: let whoever waits cancel in between.
        await new Promise((resume) => setTimeout(resume));
        throwIfAborted(signal);
        const found = fit(calibration, choosing, ALPHAS, rank);
        fits.set(layer, found);
        install(runner, layer, found);
        modes[layer] = 'linear';
      }
    } finally {
      teacher.close();
      student?.close();
    }
  }
  return fits;
}

/** Perplexity of a plan on windows: exp of the mean negative log-likelihood of all but their first tokens. */
export async function perplexity(
  runner: Runner,
  plan: Plan,
  windows: readonly (readonly number[])[],
  signal?: AbortSignal,
): Promise<number> {
  let [nats, tokens] = [0, 0];
  for (const window of windows) {
    const { logprobs } = await runner.score(plan, window, signal);
    // The last row tells of no token of the window.
    for (let i = 0; i < window.length - 1; i++) nats -= logprobs[i]!;
    tokens += window.length - 1;
  }
  return Math.exp(nats / tokens);
}

/** Perplexity of a model as it is. @throws ShishuError `bad-argument` when that is no number, as with NaN among the weights */
export async function wholePerplexity(
  runner: Runner,
  plan: Plan,
  windows: readonly (readonly number[])[],
  signal?: AbortSignal,
): Promise<number> {
  const value = await perplexity(runner, plan, windows, signal);
  if (!Number.isFinite(value))
    throw new ShishuError('bad-argument', `The model's perplexity is ${value}.`, {
      details: { perplexity: value },
      mend: 'Its weights hold NaN or infinite values, or overflow on the way: check them, or convert from an F32 copy.',
    });
  return value;
}

import type { Runner } from '../engine/runner.ts';
import { scoreOf } from '../engine/scoring.ts';
import { ShishuError, throwIfAborted } from '../errors.ts';
import { guardMemory } from '../gpu/buffer.ts';
import { stride } from '../kernels/tensor.ts';
import { installLinearMap } from '../model/linear-maps.ts';
import { type Mode, pruned } from '../model/prune.ts';
import type { Plan } from '../model/spec.ts';
import { ALPHAS, type Fit, fit } from './fit.ts';
import type { LinearMap } from './linear-map.ts';
import { addWindow, layersWithin, MomentSums, type Moments } from './moments.ts';
import type { OnGpu } from './on-gpu.ts';
import { beforeMixer, behindMixer, keepStates, Stack } from './stack.ts';
import type { TokenWindows, Windows } from './windows.ts';

export interface CalibrateOptions {
  /**
   * Fit from the bottom up, each map on the states that its block gets once the blocks below run linear, to what leads from there to the
   * parent's state behind its attention.
   */
  sequential?: boolean;
  /** Most that the maps' rank may be (default the hidden size). */
  rank?: number | undefined;
  /** Positions that each map sees (default 1). */
  inputs?: number | undefined;
  /** Most bytes of sums on the GPU at a time (default 256 MiB): layers beyond it take another pass over the text. */
  budget?: number;
  signal?: AbortSignal | undefined;
  onProgress?: (done: number, total: number) => void;
}

/** A model on the GPU, and how its blocks run. */
export type LoadedModel = Pick<OnGpu, 'plan' | 'runner'>;

/** Puts a fitted map on the GPU. One of several inputs serves texts from their first token on. */
export function install(runner: Runner, layer: number, { W, b, d, inputs = 1 }: LinearMap): void {
  const { parts, ledger } = runner;
  const { gpu, kv, scratch, weights } = parts;
  // What was recorded binds the buffers of an earlier map of another size.
  if (weights.linear.has(layer) && weights.linear.get(layer)!.up.cols !== inputs * d) runner.forgetBlocks();
  if (inputs > 1) {
    kv.keepInputs(layer);
    if (!scratch.inputs.has(inputs))
      scratch.inputs.set(inputs, ledger.storage('inputs', 4 * scratch.rows * stride(inputs * d), 'scratch'));
  }
  installLinearMap(gpu, ledger, weights, layer, { W: Float32Array.from(W), b: Float32Array.from(b) });
}

const BUDGET = 256 * 2 ** 20;

type CalibrationWindows = Pick<Windows, 'calibration' | 'choosing'>;

/**
 * Fits a linear map to the attention of each layer and installs it. The sums that a fit needs are made on the GPU.
 * @throws ShishuError `bad-argument` for values that are not finite and for singular systems, `does-not-fit`, `aborted`
 */
export async function calibrate(
  runner: Runner,
  plan: Plan,
  windows: CalibrationWindows,
  layers: readonly number[],
  options: CalibrateOptions = {},
): Promise<Map<number, Fit>> {
  const ascending = [...layers].sort((a, b) => a - b);
  const stack = new Stack(runner);
  try {
    return await (options.sequential ? fitUpward : fitApart)(
      runner,
      stack,
      plan,
      windows,
      ascending,
      options,
    );
  } finally {
    stack.close();
  }
}

type Fitting = (
  runner: Runner,
  stack: Stack,
  plan: Plan,
  windows: CalibrationWindows,
  layers: readonly number[],
  options: CalibrateOptions,
) => Promise<Map<number, Fit>>;

/** Solving takes seconds for a large model: lets a click or a signal that cancels come through. */
async function pause(signal: AbortSignal | undefined): Promise<void> {
  await new Promise((resume) => setTimeout(resume));
  throwIfAborted(signal);
}

/** Each map on the plan's own states. */
const fitApart: Fitting = async (
  runner,
  stack,
  plan,
  windows,
  layers,
  { rank, inputs = 1, budget = BUDGET, signal, onProgress },
) => {
  const d = runner.parts.spec.hiddenSize;
  const most = layersWithin(budget, d, inputs * d);
  const groups = Array.from({ length: Math.ceil(layers.length / most) }, (_, i) =>
    layers.slice(i * most, (i + 1) * most),
  );
  // Windows of the text, and maps.
  const total = groups.length * (windows.calibration.length + windows.choosing.length) + layers.length;
  let done = 0;
  const fits = new Map<number, Fit>();
  for (const group of groups) {
    const sums = await MomentSums.make(runner, stack.rows, group, inputs);
    const momentsOf = async (set: TokenWindows): Promise<Map<number, Moments>> => {
      for (const window of set) {
        throwIfAborted(signal);
        await addWindow(sums, stack, plan, group, window);
        onProgress?.(++done, total);
      }
      return sums.take();
    };
    try {
      const calibration = await momentsOf(windows.calibration);
      const choosing = await momentsOf(windows.choosing);
      for (const layer of group) {
        await pause(signal);
        const found = fit(calibration.get(layer)!, choosing.get(layer)!, ALPHAS, rank);
        fits.set(layer, found);
        install(runner, layer, found);
        onProgress?.(++done, total);
      }
    } finally {
      sums.close();
    }
  }
  return fits;
};

/**
 * Block after block upward, each map on the child's own states: to what the parent's state behind its attention is more than
 * the child's before it, so that it mends what the maps below have lost. Hidden states of parent and child are kept, and go up
 * with the layers: each runs once over the text.
 */
const fitUpward: Fitting = async (
  runner,
  stack,
  plan,
  windows,
  layers,
  { rank, inputs = 1, signal, onProgress },
) => {
  const { parts, ledger } = runner;
  const { gpu } = parts;
  const held: GPUBuffer[] = [];
  const make = (label: string, tokens: number): GPUBuffer => {
    const buffer = ledger.storage(label, tokens * stack.stateBytes, 'scratch');
    held.push(buffer);
    return buffer;
  };
  // Windows of the text, and maps.
  const total = layers.length * (windows.calibration.length + windows.choosing.length + 1);
  let done = 0;
  const fits = new Map<number, Fit>();
  const modes: Record<number, Mode> = {};
  try {
    const states = await guardMemory(gpu, 'hidden states of the calibration text', () =>
      [windows.calibration, windows.choosing].map((set) =>
        set.map((window) => ({
          window,
          parent: new Walk(stack, window, make('states of the parent', window.length)),
          child: new Walk(stack, window, make('states of the child', window.length)),
        })),
      ),
    );
    for (const layer of layers) {
      const below = pruned(plan, modes, fits);
      const sums = await MomentSums.make(runner, stack.rows, [layer], inputs);
      const moments: Moments[] = [];
      try {
        for (const set of states) {
          for (const { window, parent, child } of set) {
            throwIfAborted(signal);
            await parent.goTo(plan, behindMixer(layer), runner);
            await child.goTo(below, beforeMixer(layer), runner);
            const encoder = gpu.device.createCommandEncoder();
            sums.afterOf(encoder, parent.buffer, window.length);
            gpu.device.queue.submit([encoder.finish()]);
            const place = beforeMixer(layer);
            await stack.run(window, below, {
              from: { place, buffer: child.buffer },
              to: place,
              places: [place],
              hook(point) {
                sums.before(point, layer);
                sums.add(point, layer);
              },
            });
            sums.count(window.length);
            onProgress?.(++done, total);
          }
          moments.push((await sums.take()).get(layer)!);
        }
      } finally {
        sums.close();
      }
      await pause(signal);
      const found = fit(moments[0]!, moments[1]!, ALPHAS, rank);
      fits.set(layer, found);
      install(runner, layer, found);
      modes[layer] = 'linear';
      onProgress?.(++done, total);
    }
    return fits;
  } finally {
    for (const buffer of held) ledger.release(buffer);
  }
};

/** Hidden states of a window that go up the stack. */
class Walk {
  readonly buffer: GPUBuffer;
  readonly #stack: Stack;
  readonly #window: readonly number[];
  #place: number | undefined;

  constructor(stack: Stack, window: readonly number[], buffer: GPUBuffer) {
    this.#stack = stack;
    this.#window = window;
    this.buffer = buffer;
  }

  async goTo(plan: Plan, place: number, { parts }: Runner): Promise<void> {
    await this.#stack.run(this.#window, plan, {
      from: this.#place === undefined ? undefined : { place: this.#place, buffer: this.buffer },
      to: place,
      places: [place],
      hook: (point) => keepStates(parts, point, this.buffer),
    });
    this.#place = place;
  }
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

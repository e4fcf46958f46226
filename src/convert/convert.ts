import { ShishuError, throwIfAborted } from '../errors.ts';
import { readOptional } from '../formats/source.ts';
import { parseConfig } from '../model/config.ts';
import { kvBytesPerToken, parameterCount, planOf } from '../model/plan.ts';
import { type Mode, pruned } from '../model/prune.ts';
import { measureMaps } from './analyze.ts';
import { calibrate, perplexity } from './calibrate.ts';
import { type ChildShape, childConfig, childTensors, modelBytes } from './child.ts';
import { bestRun, type Target, targetOf } from './choose.ts';
import type { Fit } from './fit.ts';
import { bytesOf, type OnGpu, type OpenOptions, openOnGpu, refuseChild } from './on-gpu.ts';
import type { Share } from './share.ts';
import { type Stage, type Staged, tensorFile } from './staged.ts';
import type { Windows } from './windows.ts';

export interface ConvertOptions extends Target {
  /** Keep a linear map where attention was, as extra tensors. */
  linear?: boolean;
  /** Pairs of MLP-only blocks that share one MLP (default 0). */
  sharePairs?: number;
  /** How a pair's MLPs become one (default `average`). */
  share?: Share;
  log?: (line: string) => void;
  signal?: AbortSignal | undefined;
}

/** What a conversion did; `report.json` of the child's folder. */
export interface ConvertReport {
  front: number;
  mlpOnly: number;
  end: number;
  sharedPairs: number;
  share: Share | undefined;
  /** Layers whose attention was taken. */
  layers: number[];
  /** Runs of as many layers that were measured on the choosing windows, when none was named. */
  candidates: { front: number; perplexity: number }[];
  /** Test R^2 of each map, without the residual, on the parent's own input. */
  r2: { layer: number; r2: number; alpha: number }[];
  /** Perplexity on test windows after each step; the last is of the folder as written. */
  steps: { step: string; perplexity: number }[];
  tokens: { calibration: number; choosing: number; test: number };
  parameters: { parent: number; child: number };
  /** Weights as stored. */
  weightBytes: { parent: number; child: number };
  /** f32. */
  kvBytesPerToken: { parent: number; child: number };
}

/** Files beside the weights that a child takes over from its parent. */
const COPIED = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.json',
  'merges.txt',
  'tokenizer.model',
  'chat_template.jinja',
  'chat_template.json',
  'generation_config.json',
];

/** Context for which `saveMemory` counts K and V. */
const MEMORY_CONTEXT = 2048;

/**
 * How many blocks lose their attention, or which.
 * @throws ShishuError `bad-argument`, `unsupported` for what cannot be had of this parent
 */
function checkTarget(parent: OnGpu, options: ConvertOptions): ReturnType<typeof targetOf> {
  refuseChild(parent);
  const { config, configJson, dtype } = parent;
  const { sharePairs = 0, linear = false } = options;
  const shapeOf = (front: number, mlpOnly: number, sharedPairs: number): ChildShape => {
    return { front, mlpOnly, sharedPairs, linear };
  };
  const bytesAt = (mlpOnly: number): number =>
    modelBytes(
      mlpOnly === 0
        ? config
        : parseConfig(
            childConfig(
              configJson,
              config,
              shapeOf(0, mlpOnly, Math.min(sharePairs, Math.floor(mlpOnly / 2))),
            ),
          ),
      bytesOf(dtype),
      Math.min(MEMORY_CONTEXT, config.maxPositions),
    );
  const target = targetOf(options, config.layers, bytesAt);
  if (!Number.isInteger(sharePairs) || sharePairs < 0 || 2 * sharePairs > target.count)
    throw new ShishuError(
      'bad-argument',
      `${sharePairs} pairs cannot share among ${target.count} MLP-only blocks.`,
      {
        details: { sharePairs, mlpOnly: target.count },
        mend: `Give at most ${Math.floor(target.count / 2)} pairs.`,
      },
    );
  // Also refuses what the layout cannot express.
  childConfig(configJson, config, shapeOf(target.front ?? 0, target.count, sharePairs));
  return target;
}

/**
 * Makes a ShishuLM of a parent and writes its folder, whole or not at all.
 * @param text windows of the calibration text, asked for when the options are known to be good
 * @throws ShishuError `bad-argument`, `unsupported`, `io`, `aborted`, and as `loadModel`
 */
export async function convert(
  parent: OnGpu,
  text: () => Promise<Windows>,
  stage: Stage,
  options: ConvertOptions,
  gpuOptions: OpenOptions = {},
): Promise<ConvertReport> {
  const { log = () => {}, linear = false, sharePairs = 0, share = 'average', signal } = options;
  const { config, configJson, plan, runner } = parent;
  const target = checkTarget(parent, options);
  const windows = await text();
  const all = plan.map(({ layer }) => layer);
  const modesOf = (layers: readonly number[], mode: Mode) =>
    Object.fromEntries(layers.map((layer) => [layer, mode] as const));
  const steps: ConvertReport['steps'] = [];
  const step = async (name: string, value: Promise<number>): Promise<void> => {
    steps.push({ step: name, perplexity: await value });
    log(`${name}: perplexity ${steps.at(-1)!.perplexity.toFixed(3)}`);
  };
  const progress = (what: string) => (done: number, total: number) => {
    if (done === total) log(`${what}: ${total} windows`);
  };
  const ppl = (layers: readonly number[], mode: Mode, set: 'choosing' | 'test'): Promise<number> =>
    perplexity(
      runner,
      pruned(plan, modesOf(layers, mode), runner.parts.weights.linear),
      windows[set],
      signal,
    );
  await step('parent', perplexity(runner, plan, windows.test, signal));

  let fits = new Map<number, Fit>();
  const candidates: ConvertReport['candidates'] = [];
  let { front } = target;
  if (front === undefined) {
    // Every block needs a map to be compared with the others.
    if (linear)
      fits = await calibrate(runner, plan, windows, all, {
        signal,
        onProgress: progress('fitting every block'),
      });
    const mode = linear ? 'linear' : 'skip';
    const best = await bestRun(config.layers, target.count, (layers) => ppl(layers, mode, 'choosing'));
    front = best.front;
    candidates.push(...best.candidates);
  }
  const layers = Array.from({ length: target.count }, (_, i) => front + i);
  log(`layers ${layers.join(' ')} lose their attention`);
  await step('attention dropped', ppl(layers, 'skip', 'test'));
  const r2: ConvertReport['r2'] = [];
  if (linear) {
    fits = await calibrate(runner, plan, windows, layers, {
      sequential: true,
      signal,
      onProgress: progress('fitting one block after the other'),
    });
    await step('linear maps', ppl(layers, 'linear', 'test'));
    const measured = await measureMaps(runner, plan, fits, windows.test, signal);
    for (const [layer, fit] of fits) r2.push({ layer, r2: measured.get(layer)!.r2, alpha: fit.alpha });
  }

  const json = childConfig(configJson, config, {
    front,
    mlpOnly: target.count,
    sharedPairs: sharePairs,
    linear,
  });
  const child = parseConfig(json);
  const staged = await stage();
  try {
    throwIfAborted(signal);
    await writeChild(staged, parent, json, fits, share);
    const written = await openOnGpu(staged.source, gpuOptions);
    try {
      const name = sharePairs > 0 ? `written, ${sharePairs} pairs shared (${share})` : 'written';
      await step(name, perplexity(written.runner, written.plan, windows.test, signal));
    } finally {
      written.close();
    }
    const count = (set: readonly number[][]): number => set.reduce((sum, window) => sum + window.length, 0);
    const parameters = { parent: parameterCount(config), child: parameterCount(child) };
    const report: ConvertReport = {
      front,
      mlpOnly: target.count,
      end: config.layers - front - target.count,
      sharedPairs: sharePairs,
      share: sharePairs > 0 ? share : undefined,
      layers,
      candidates,
      r2,
      steps,
      tokens: {
        calibration: count(windows.calibration),
        choosing: count(windows.choosing),
        test: count(windows.test),
      },
      parameters,
      weightBytes: {
        parent: bytesOf(parent.dtype) * parameters.parent,
        child: bytesOf(parent.dtype) * parameters.child,
      },
      kvBytesPerToken: {
        parent: kvBytesPerToken(config, plan, 4),
        child: kvBytesPerToken(child, planOf(child), 4),
      },
    };
    await staged.write('report.json', `${JSON.stringify(report, null, 2)}\n`);
    throwIfAborted(signal);
    await staged.commit();
    return report;
  } finally {
    await staged.discard();
  }
}

async function writeChild(
  staged: Staged,
  parent: OnGpu,
  json: Record<string, unknown>,
  fits: ReadonlyMap<number, Fit>,
  share: Share,
): Promise<void> {
  await staged.write('config.json', `${JSON.stringify(json, null, 2)}\n`);
  await staged.write('model.safetensors', tensorFile(childTensors(parent, parseConfig(json), fits, share)));
  for (const file of COPIED) {
    const bytes = await readOptional(parent.source, file);
    if (bytes) await staged.write(file, bytes);
  }
}

const change = (from: number, to: number): string => `${((100 * (to - from)) / from).toFixed(1)} %`;

/** A report for people. */
export function reportText(report: ConvertReport): string {
  const { front, mlpOnly, end, sharedPairs, steps, r2, parameters, weightBytes, kvBytesPerToken } = report;
  const first = steps[0]!.perplexity;
  const row = (name: string, { parent, child }: { parent: number; child: number }): string =>
    `${name.padEnd(18)} ${parent} -> ${child} (${change(parent, child)})`;
  return [
    `${front} attention + ${mlpOnly} MLP-only (${sharedPairs} shared pairs) + ${end} attention`,
    ...r2.map(({ layer, r2, alpha }) => `map of block ${layer}: R² ${r2.toFixed(3)}, alpha ${alpha}`),
    ...steps.map(
      ({ step, perplexity }) =>
        `perplexity, ${step}: ${perplexity.toFixed(3)} (${change(first, perplexity)})`,
    ),
    row('parameters', parameters),
    row('weight bytes', weightBytes),
    row('KV bytes a token', kvBytesPerToken),
  ].join('\n');
}

import { ShishuError, throwIfAborted } from '../errors.ts';
import { specOf } from '../families/index.ts';
import { openCheckpoint } from '../formats/checkpoint.ts';
import { readJson } from '../formats/json.ts';
import { readOptional } from '../formats/source.ts';
import type { Mode } from '../model/prune.ts';
import { kvBytesPerToken, type ModelSpec, parameterCount, planOf, tensorsOf } from '../model/spec.ts';
import { ANALYSIS_FILE, type AnalysedOrder, orderWithout } from './analysis-file.ts';
import { measureMaps } from './analyze.ts';
import { calibrate, perplexity, prunedModel, wholePerplexity } from './calibrate.ts';
import { childConfig, childTensors, healedTensors, modelBytes, pairsOf } from './child.ts';
import { type Choice, type ChooseOptions, choiceText, chooseBlocks } from './choose.ts';
import type { Fit } from './fit.ts';
import { checkHealing, type Healing, type HealOptions, heal, type Log } from './heal.ts';
import { bytesOf, type OnGpu, type OpenOptions, refuseChild, withOnGpu } from './on-gpu.ts';
import { recallListsOf } from './recall.ts';
import { type ConvertReport, REPORT_FILE } from './report.ts';
import type { Share } from './share.ts';
import { measureSpeed } from './speed.ts';
import { type Stage, type Staged, tensorFile } from './staged.ts';
import { layersText, type Target, targetOf } from './target.ts';
import { timeLeft } from './time-left.ts';
import { tokenCounts, type Windows } from './windows.ts';

export interface ConvertOptions extends Target {
  /** Keep a linear map where attention was, as extra tensors. */
  linear?: boolean;
  /** Most that the maps' rank may be (default the hidden size). Below half the hidden size they are stored as two factors. */
  rank?: number | undefined;
  /** Pairs of MLP-only blocks that share one MLP (default 0). */
  sharePairs?: number;
  /** How a pair's MLPs become one (default `average`). */
  share?: Share;
  /** Distil the child to its parent after that. */
  heal?: HealOptions | undefined;
  /** How blocks are chosen, where the target does not name them. */
  choosing?: ChoosingOptions | undefined;
  /** The parent's analysed order: where blocks are named, the child's folder gets what is left of it. */
  order?: AnalysedOrder;
  log?: Log;
  signal?: AbortSignal | undefined;
}

export type ChoosingOptions = Pick<ChooseOptions, 'weights' | 'among' | 'notes' | 'onMeasured'>;

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
  'additional_chat_templates/tool_use.jinja',
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
  const { spec, configJson, dtype } = parent;
  const { sharePairs = 0, linear = false, rank } = options;
  const childSpec = (layers: readonly number[], sharedPairs: number): ModelSpec =>
    specOf(childConfig(configJson, spec, { layers, sharedPairs, linear, rank }));
  const first = (count: number): number[] => Array.from({ length: count }, (_, layer) => layer);
  const bytesAt = (mlpOnly: number): number => {
    const pairs = Math.min(sharePairs, Math.floor(mlpOnly / 2));
    const child = mlpOnly === 0 ? spec : childSpec(first(mlpOnly), pairs);
    return modelBytes(child, bytesOf(dtype), Math.min(MEMORY_CONTEXT, spec.maxPositions));
  };
  const target = targetOf(options, spec.blocks.length, bytesAt);
  const layers = target.layers ?? first(target.count ?? 1);
  if (!Number.isInteger(sharePairs) || sharePairs < 0) checkPairs(layers, sharePairs);
  if (target.layers ?? target.count) checkPairs(layers, sharePairs);
  if (rank !== undefined && !linear)
    throw new ShishuError('bad-argument', 'A rank was given, but no linear maps are asked for.', {
      details: { rank },
      mend: 'Ask for linear maps too.',
    });
  if (rank !== undefined && !(Number.isInteger(rank) && rank >= 1 && rank <= spec.hiddenSize))
    throw new ShishuError('bad-argument', `The rank of maps is ${rank}.`, {
      details: { rank, limit: spec.hiddenSize },
      mend: `Give a whole number from 1 to the hidden size, ${spec.hiddenSize}.`,
    });
  // Also refuses what the layout cannot express.
  childSpec(layers, Math.min(sharePairs, pairsOf(layers).length));
  return target;
}

/** @throws ShishuError `bad-argument` when so many pairs of neighbours are not among these layers */
function checkPairs(layers: readonly number[], sharePairs: number): void {
  const pairs = pairsOf(layers).length;
  if (Number.isInteger(sharePairs) && sharePairs >= 0 && sharePairs <= pairs) return;
  throw new ShishuError(
    'bad-argument',
    `${sharePairs} pairs cannot share among ${layers.length} MLP-only blocks.`,
    { details: { sharePairs, mlpOnly: layers.length }, mend: `Give at most ${pairs} pairs.` },
  );
}

/** Chooses blocks one by one, with maps in their place where the child is to have them. */
export async function chooseLayers(
  parent: OnGpu,
  windows: Windows,
  target: Pick<ChooseOptions, 'mode' | 'count' | 'within'>,
  options: ChoosingOptions & { log?: Log | undefined; signal?: AbortSignal | undefined } = {},
): Promise<Choice> {
  const { runner, plan, spec, source } = parent;
  const { log = () => {}, signal, ...choosing } = options;
  const lists = recallListsOf(parent, windows);
  // Every block needs a map to be compared with the others.
  if (target.mode === 'linear') {
    const told = timeLeft(log, 'fitting a map to every block');
    await calibrate(
      runner,
      plan,
      windows,
      plan.map(({ layer }) => layer),
      { signal, onProgress: told },
    );
  }
  const told = timeLeft(log, 'choosing blocks');
  const choice = await chooseBlocks(runner, plan, windows.choosing, lists, {
    ...target,
    ...choosing,
    about: JSON.stringify([source.name, spec, windows.calibration]),
    signal,
    onProgress: told,
    onChosen: (block, { nats, recall }) =>
      log(
        `block ${block.layer}: ${(block.nats - nats).toFixed(3)} nats over the parent` +
          (recall && block.recall
            ? `, recall ${block.recall.accuracy.toFixed(2)} of ${recall.accuracy.toFixed(2)}`
            : ''),
      ),
  });
  log(choiceText(target.mode === 'skip' ? 'dropped' : 'linear', choice));
  return choice;
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
  const { log = () => {}, linear = false, rank, sharePairs = 0, share = 'average', signal } = options;
  const { spec, configJson, plan, runner } = parent;
  const target = checkTarget(parent, options);
  const windows = await text();
  if (options.heal) checkHealing(spec, windows.healing, options.heal);
  const steps: ConvertReport['steps'] = [];
  const step = async (name: string, value: Promise<number>): Promise<void> => {
    steps.push({ step: name, perplexity: await value });
    log(`${name}: perplexity ${steps.at(-1)!.perplexity.toFixed(3)}`);
  };
  const progress = (what: string) => (done: number, total: number) => {
    if (done === total) log(`${what}: ${total} windows`);
  };
  const testIn = (mode: Mode, layers: readonly number[]): Promise<number> =>
    perplexity(prunedModel(parent, layers, mode), windows.test, signal);
  await step('parent', wholePerplexity(parent, windows.test, signal));

  let fits = new Map<number, Fit>();
  let { layers } = target;
  let choice: Choice | undefined;
  if (!layers) {
    const mode = linear ? 'linear' : 'skip';
    const wanted = { mode, count: target.count, within: options.maxPerplexity } as const;
    choice = await chooseLayers(parent, windows, wanted, { ...options.choosing, log, signal });
    layers = choice.chosen.map(({ layer }) => layer).sort((a, b) => a - b);
    if (layers.length === 0)
      throw new ShishuError('bad-argument', 'No block can lose its attention for so little perplexity.', {
        details: { maxPerplexity: options.maxPerplexity ?? null },
        mend: 'Allow more, or give the number of blocks to keep.',
      });
    checkPairs(layers, sharePairs);
  }
  log(`layers ${layersText(layers)} lose their attention`);
  await step('attention dropped', testIn('skip', layers));
  const r2: ConvertReport['r2'] = [];
  if (linear) {
    fits = await calibrate(runner, plan, windows, layers, {
      sequential: true,
      rank,
      signal,
      onProgress: progress('fitting one block after the other'),
    });
    await step('linear maps', testIn('linear', layers));
    const measured = await measureMaps(runner, plan, layers, windows.test, signal);
    for (const [layer, { alpha, rank }] of fits) r2.push({ layer, r2: measured.get(layer)!.r2, alpha, rank });
  }

  const json = childConfig(configJson, spec, { layers, sharedPairs: sharePairs, linear, rank });
  const child = specOf(json);
  const staged = await stage();
  try {
    throwIfAborted(signal);
    await writeChild(staged, parent, json, fits, share);
    const measureWritten = (name: string): Promise<void> =>
      withOnGpu(staged.source, gpuOptions, (written) =>
        step(name, perplexity(written, windows.test, signal)),
      );
    const shared = `${sharePairs} ${sharePairs === 1 ? 'pair' : 'pairs'} shared (${share})`;
    await measureWritten(sharePairs > 0 ? `written, ${shared}` : 'written');
    let healing: ConvertReport['healing'];
    if (options.heal) {
      const done = await healWritten(staged, parent, windows, { ...options.heal, log, signal });
      await measureWritten('healed');
      const [before, after] = steps.slice(-2).map(({ perplexity }) => perplexity);
      healing = { ...done, perplexity: { before: before!, after: after! } };
    }
    const speed = await withOnGpu(staged.source, gpuOptions, (written) =>
      measureSpeed(parent, written, signal),
    );
    const parameters = { parent: parameterCount(spec), child: parameterCount(child) };
    const report: ConvertReport = {
      front: layers[0]!,
      mlpOnly: layers.length,
      end: spec.blocks.length - 1 - layers.at(-1)!,
      sharedPairs: sharePairs,
      share: sharePairs > 0 ? share : undefined,
      layers: [...layers],
      choice,
      r2,
      steps,
      healing,
      speed,
      tokens: tokenCounts(windows),
      parameters,
      weightBytes: {
        parent: bytesOf(parent.dtype) * parameters.parent,
        child: bytesOf(parent.dtype) * parameters.child,
      },
      kvBytesPerToken: {
        parent: kvBytesPerToken(spec, plan, 4),
        child: kvBytesPerToken(child, planOf(child), 4),
      },
    };
    const given = choice ? { skip: choice.order, linear: choice.order } : options.order;
    if (given) {
      const order = orderWithout(given, layers);
      await staged.write(ANALYSIS_FILE, `${JSON.stringify({ order }, null, 2)}\n`);
    }
    await staged.write(REPORT_FILE, `${JSON.stringify(report, null, 2)}\n`);
    throwIfAborted(signal);
    await staged.commit();
    return report;
  } finally {
    await staged.discard();
  }
}

/** Writes the child's folder but for its report. */
export async function writeChild(
  staged: Staged,
  parent: OnGpu,
  json: Record<string, unknown>,
  fits: ReadonlyMap<number, Fit>,
  share: Share,
): Promise<void> {
  await staged.write('config.json', `${JSON.stringify(json, null, 2)}\n`);
  await staged.write('model.safetensors', tensorFile(childTensors(parent, specOf(json), fits, share)));
  for (const file of COPIED) {
    const bytes = await readOptional(parent.source, file);
    if (bytes) await staged.write(file, bytes);
  }
}

/** Heals a child whose folder is written, in place. */
export async function healWritten(
  staged: Staged,
  parent: OnGpu,
  windows: Windows,
  options: Parameters<typeof heal>[3],
): Promise<Healing> {
  const spec = specOf(await readJson(staged.source, 'config.json', { code: 'bad-config' }));
  const checkpoint = await openCheckpoint(staged.source, tensorsOf(spec));
  const { weights, healing } = await heal(parent, { spec, checkpoint }, windows.healing, options);
  await staged.write('model.safetensors', tensorFile(healedTensors(weights, parent.dtype)));
  return healing;
}

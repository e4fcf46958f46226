import { ShishuError, throwIfAborted } from '../errors.ts';
import { specOf } from '../families/index.ts';
import type { Mode } from '../model/prune.ts';
import { kvBytesPerToken, parameterCount, planOf } from '../model/spec.ts';
import { hashOf } from '../train/random.ts';
import { ANALYSIS_FILE, type AnalysedOrder, orderWithout } from './analysis-file.ts';
import { measureMaps } from './analyze.ts';
import { calibrate, perplexity, prunedModel, wholePerplexity } from './calibrate.ts';
import { childConfig, pairsOf } from './child-config.ts';
import type { Choice, ChoiceNotes, ChosenBlock } from './choose.ts';
import { type ChoosingOptions, chooseLayers } from './choose-layers.ts';
import { checkPairs, checkTarget } from './convert-target.ts';
import type { ConvertStage, OnEvent } from './events.ts';
import type { Fit } from './fit.ts';
import { checkHealing, type HealOptions, planHealing } from './heal-plan.ts';
import type { Log } from './healing-run.ts';
import { bytesOf, type OnGpu, type OpenOptions, withOnGpu } from './on-gpu.ts';
import { Progress } from './progress.ts';
import { type ConvertReport, REPORT_FILE } from './report.ts';
import type { Share } from './share.ts';
import { measureSpeed } from './speed.ts';
import type { Stage } from './staged.ts';
import { layersText, type Target } from './target.ts';
import { timeLeft } from './time-left.ts';
import { tokenCounts, type Windows } from './windows.ts';
import { healWritten, writeChild } from './write-child.ts';

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
  /** Gets what is found as it is found, also what was kept of an earlier try. */
  onEvent?: OnEvent | undefined;
  signal?: AbortSignal | undefined;
}

/** What must be the same for a conversion to be gone on with. */
function identityOf(parent: OnGpu, options: ConvertOptions): Record<string, unknown> {
  const {
    order: _,
    log: __,
    signal: ___,
    onEvent: ____,
    heal: { checkpointMinutes: _____, memory: ______, ...heal } = {},
    ...asked
  } = options;
  return {
    parent: hashOf(JSON.stringify(parent.configJson)),
    'bytes of the parent': parent.checkpoint.bytes,
    ...asked,
    ...(options.heal ? named('heal', heal) : { heal: null }),
  };
}

/** Fields with a name before theirs. */
const named = (name: string, fields: object): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).map(([field, value]) => [`${name}.${field}`, value]));

/** What tells one text from another. */
const textHash = ({ healing, ...sets }: Windows): number =>
  hashOf(JSON.stringify([sets, healing.map(({ weight, windows }) => [weight, windows])]));

/**
 * Makes a ShishuLM of a parent and writes its folder, whole or not at all. Where the folder has a `place`, each stage's result is
 * kept there as it is done, and healing's checkpoints: the same call goes on from them.
 * @param text windows of the calibration text, asked for when the options are known to be good
 * @throws ShishuError `bad-argument`, `unsupported`, `io`, `aborted`, `bad-checkpoint`, and as `loadModel`
 */
export async function convert(
  parent: OnGpu,
  text: (progress: Progress) => Promise<Windows>,
  stage: Stage,
  options: ConvertOptions,
  gpuOptions: OpenOptions = {},
): Promise<ConvertReport> {
  const { log = () => {}, signal } = options;
  const target = checkTarget(parent, options);
  const staged = await stage();
  const progress = await Progress.open(staged, identityOf(parent, options));
  try {
    const windows = await text(progress);
    if (options.heal) checkHealing(parent.spec, windows, options.heal);
    progress.check({ text: textHash(windows) });
    const report = await runStages(parent, windows, progress, target, options, gpuOptions);
    throwIfAborted(signal);
    await staged.commit();
    return report;
  } catch (error) {
    if (!progress.keeps || !staged.place) await staged.discard();
    else if (!(error instanceof ShishuError && error.code === 'bad-checkpoint'))
      log(`What is done is kept in ${staged.place}: the same command goes on from there.`);
    throw error;
  }
}

/** Chooses blocks, fits maps, writes the child, heals and measures it; what is kept of a stage isn't done again. */
async function runStages(
  parent: OnGpu,
  windows: Windows,
  progress: Progress,
  target: ReturnType<typeof checkTarget>,
  options: ConvertOptions,
  gpuOptions: OpenOptions,
): Promise<ConvertReport> {
  const { log = () => {}, linear = false, rank, sharePairs = 0, share = 'average', signal } = options;
  const { onEvent = () => {} } = options;
  const begins = (stage: ConvertStage): void => onEvent({ kind: 'stage', stage });
  const { spec, configJson, plan } = parent;
  const { staged } = progress;
  const steps: ConvertReport['steps'] = [];
  const perplexityOf = (name: string): string => `perplexity, ${name}`;
  const step = async (name: string, value: () => Promise<number>): Promise<void> => {
    steps.push({ step: name, perplexity: await progress.stage(perplexityOf(name), value) });
    onEvent({ kind: 'step', step: steps.at(-1)! });
    log(`${name}: perplexity ${steps.at(-1)!.perplexity.toFixed(3)}`);
  };
  const testIn = (mode: Mode, layers: readonly number[]) => (): Promise<number> =>
    perplexity(prunedModel(parent, layers, mode), windows.test, signal);
  begins('parent');
  await step('parent', () => wholePerplexity(parent, windows.test, signal));

  if (!target.layers) begins('choosing');
  const choice = target.layers
    ? undefined
    : await chosen(
        parent,
        windows,
        progress,
        { count: target.count, within: options.maxPerplexity },
        options,
      );
  const layers = target.layers ?? choice!.chosen.map(({ layer }) => layer).sort((a, b) => a - b);
  checkPairs(layers, sharePairs);
  log(`layers ${layersText(layers)} lose their attention`);
  begins('dropped');
  await step('attention dropped', testIn('skip', layers));

  if (linear) begins('linear');
  const pairs = pairsOf(layers).slice(0, sharePairs);
  const json = childConfig(configJson, spec, { layers, pairs, linear, rank });
  const child = specOf(json);
  const r2 = await progress.stage('written', async () => {
    throwIfAborted(signal);
    const { fits, r2 } = linear ? await fitMaps(parent, windows, layers, options) : NO_MAPS;
    // While the maps are on the GPU.
    if (linear) await progress.stage(perplexityOf('linear maps'), testIn('linear', layers));
    throwIfAborted(signal);
    await writeChild(staged, parent, json, fits, share);
    return r2;
  });
  if (linear) await step('linear maps', testIn('linear', layers));
  const measureWritten = (name: string): Promise<void> =>
    step(name, () =>
      withOnGpu(staged.source, gpuOptions, (written) => perplexity(written, windows.test, signal)),
    );
  begins('written');
  const shared = `${sharePairs} ${sharePairs === 1 ? 'pair' : 'pairs'} shared (${share})`;
  await measureWritten(sharePairs > 0 ? `written, ${shared}` : 'written');
  let healing: ConvertReport['healing'];
  if (options.heal) {
    const { heal } = options;
    begins('healing');
    // What fits now need not fit as it is gone on with.
    const plan = await progress.stage('healing', async () => planHealing(spec, child, windows, heal));
    const done = await progress.stage('healed', () =>
      healWritten(staged, parent, windows, {
        ...heal,
        plan,
        log,
        signal,
        onCurve: (curve) => onEvent({ kind: 'curve', curve, steps: plan.steps }),
        onCheckpoint: () => {
          progress.keeps = true;
        },
      }),
    );
    onEvent({ kind: 'curve', curve: done.curve, steps: plan.steps });
    await measureWritten('healed');
    const [before, after] = steps.slice(-2).map(({ perplexity }) => perplexity);
    healing = { ...done, perplexity: { before: before!, after: after! } };
  }
  begins('speed');
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
  return report;
}

/** Blocks that are chosen one by one; what was measured of them is kept. */
async function chosen(
  parent: OnGpu,
  windows: Windows,
  progress: Progress,
  wanted: { count?: number | undefined; within?: number | undefined },
  { linear = false, choosing, maxPerplexity, log, signal, onEvent = () => {} }: ConvertOptions,
): Promise<Choice> {
  const measured = 'measures of blocks';
  const before: ChosenBlock[] = [];
  const choose = (): Promise<Choice> =>
    chooseLayers(
      parent,
      windows,
      { mode: linear ? 'linear' : 'skip', ...wanted },
      {
        notes: progress.get<ChoiceNotes>(measured),
        onMeasured: async (notes) => {
          await progress.set(measured, notes);
          progress.keeps = true;
        },
        onChosen: (block, parent) => {
          before.push(block);
          onEvent({ kind: 'chosen', chosen: [...before], parent });
        },
        ...choosing,
        log,
        signal,
      },
    );
  const choice = await progress.stage('blocks', choose, { keeps: true });
  onEvent({ kind: 'chosen', chosen: choice.chosen, parent: choice.parent });
  if (choice.chosen.length > 0) return choice;
  throw new ShishuError('bad-argument', 'No block can lose its attention for so little perplexity.', {
    details: { maxPerplexity: maxPerplexity ?? null },
    mend: 'Allow more, or give the number of blocks to keep.',
  });
}

const NO_MAPS: { fits: Map<number, Fit>; r2: ConvertReport['r2'] } = { fits: new Map(), r2: [] };

/** Maps of the blocks that lose their attention, from the bottom up, and what they explain of it. */
async function fitMaps(
  { runner, plan }: OnGpu,
  windows: Windows,
  layers: readonly number[],
  { rank, signal, log = () => {} }: ConvertOptions,
): Promise<typeof NO_MAPS> {
  const fits = await calibrate(runner, plan, windows, layers, {
    sequential: true,
    rank,
    signal,
    onProgress: timeLeft(log, 'fitting one block after the other'),
  });
  const measured = await measureMaps(runner, plan, layers, windows.test, signal);
  const r2 = [...fits].map(([layer, { alpha, rank }]) => ({
    layer,
    r2: measured.get(layer)!.r2,
    alpha,
    rank,
  }));
  return { fits, r2 };
}

import { ShishuError, throwIfAborted } from '../errors.ts';
import { specOf } from '../families/index.ts';
import type { Mode } from '../model/prune.ts';
import type { ModelSpec } from '../model/spec.ts';
import { hashOf } from '../train/random.ts';
import {
  ANALYSIS_FILE,
  type AnalysedOrder,
  type AnalysisFile,
  MAPS_FILE,
  orderWithout,
} from './analysis-file.ts';
import { measureMaps } from './analyze.ts';
import { parentAnswers } from './answers.ts';
import { calibrate, finitePerplexity, type LoadedModel, perplexity, prunedModel } from './calibrate.ts';
import { mapTensors } from './child.ts';
import { childConfig } from './child-config.ts';
import type { Choice, ChosenBlock, Measure } from './choose.ts';
import { chooseLayers } from './choose-layers.ts';
import { type ConvertOptions, checkPairs, checkTarget } from './convert-target.ts';
import type { ConvertStage } from './events.ts';
import type { Fit } from './fit.ts';
import { checkHealable, checkHealing, type HealOptions } from './heal-plan.ts';
import { CARD_FILE, modelCard, parentFacts } from './model-card.ts';
import { bytesOf, type OnGpu, type OpenOptions, withOnGpu } from './on-gpu.ts';
import { choosePairs, type PairCost } from './pairs.ts';
import { Progress } from './progress.ts';
import { measureQuality, type Quality, qualityText, qualityTexts } from './quality.ts';
import { type ConvertReport, REPORT_FILE } from './report.ts';
import { measureSpeed } from './speed.ts';
import { type Stage, type Staged, tensorFile } from './staged.ts';
import { modelSize } from './stages.ts';
import { layersText } from './target.ts';
import { timeLeft } from './time-left.ts';
import { checkEnough, tokenCounts, type Windows } from './windows.ts';
import { healStages, writeChild } from './write-child.ts';

/** What must be the same for a conversion to be gone on with. */
const identityOf = (parent: OnGpu, options: ConvertOptions): Record<string, unknown> => ({
  parent: hashOf(JSON.stringify(parent.configJson)),
  'bytes of the parent': parent.checkpoint.bytes,
  ...named('', options, ['order', 'parentName', 'log', 'onEvent', 'signal', 'heal']),
  ...healIdentity(options.heal),
});

/** What of a healing must be the same. */
export const healIdentity = (heal: HealOptions | undefined): Record<string, unknown> =>
  heal ? named('heal.', heal, ['checkpointMinutes', 'memory']) : { heal: null };

/** Fields with something before their names, but for some. */
const named = (before: string, fields: object, leftOut: readonly string[]): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(fields).flatMap(([field, value]) =>
      leftOut.includes(field) ? [] : [[`${before}${field}`, value]],
    ),
  );

/** What tells one text from another. */
export const textHash = ({ healing, ...sets }: Windows): number =>
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
  // A text may take long to be sampled.
  if (options.heal) checkHealable(parent.spec);
  const staged = await stage();
  const progress = await Progress.open(staged, identityOf(parent, options));
  const run = async (): Promise<ConvertReport> => {
    const windows = await text(progress);
    const { calibration, choosing, test } = tokenCounts(windows);
    const { inputs = 1 } = options;
    if (inputs > 1) checkEnough(calibration + choosing + test, parent.spec.hiddenSize, inputs);
    if (options.heal) checkHealing(parent.spec, windows, options.heal);
    progress.check({ text: textHash(windows) });
    return runStages(parent, windows, progress, target, options, gpuOptions);
  };
  return progress.finish(run, { log, signal });
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
  const {
    log = () => {},
    linear = false,
    rank,
    inputs,
    sharePairs = 0,
    share = 'average',
    questions,
    signal,
    onEvent = () => {},
  } = options;
  const begins = (stage: ConvertStage): void => onEvent({ kind: 'stage', stage });
  const { spec, configJson } = parent;
  const { staged } = progress;
  const steps: ConvertReport['steps'] = [];
  const texts = qualityTexts(parent, windows);
  const qualityOf = (name: string): string => `quality, ${name}`;
  const step = async (name: string, model: ModelSpec, value: () => Promise<Quality>): Promise<void> => {
    const quality = await progress.stage(qualityOf(name), value);
    const { perplexity } = quality.heldOut;
    steps.push({ step: name, perplexity, quality, ...modelSize(model, bytesOf(parent.dtype)) });
    onEvent({ kind: 'step', step: steps.at(-1)! });
    log(`${name}: ${qualityText(quality)}`);
  };
  begins('parent');
  // Before anything takes long: a model without a finite perplexity has no answers either.
  finitePerplexity(await perplexity(parent, windows.test.slice(0, 1), signal));
  const answers = await progress.stage('answers', () => parentAnswers(parent, { questions, log, signal }));
  const measure = (model: LoadedModel): Promise<Quality> =>
    measureQuality(model, answers, texts, { signal, onProgress: timeLeft(log, 'measuring') });
  const testIn = (mode: Mode, layers: readonly number[]) => (): Promise<Quality> =>
    measure(prunedModel(parent, layers, mode));
  await step('parent', spec, async () => {
    const quality = await measure(parent);
    finitePerplexity(quality.heldOut.perplexity);
    return quality;
  });

  if (!target.layers) begins('choosing');
  const choice = target.layers
    ? undefined
    : await progress.stage('blocks', () => chosenBlocks(parent, windows, progress, target, options), {
        keeps: true,
      });
  // Also what was kept.
  if (choice) onEvent({ kind: 'chosen', chosen: choice.chosen, parent: choice.parent });
  const layers = target.layers
    ? [...target.layers]
    : choice!.chosen.map(({ layer }) => layer).sort((a, b) => a - b);
  checkPairs(layers, sharePairs);
  log(`layers ${layersText(layers)} lose their attention`);
  const childSpec = (linear: boolean): ModelSpec =>
    specOf(childConfig(configJson, spec, { layers, pairs: [], linear, rank, inputs }));
  begins('dropped');
  await step('attention dropped', childSpec(false), testIn('skip', layers));

  if (linear) begins('linear');
  const jsonOf = (pairs: readonly PairCost[]) =>
    childConfig(configJson, spec, { layers, pairs: pairs.map((pair) => pair.layers), linear, rank, inputs });
  const { r2, pairs } = await progress.stage('written', async () => {
    throwIfAborted(signal);
    const { fits, r2 } = linear ? await fitMaps(parent, windows, layers, options) : NO_MAPS;
    // While the maps are on the GPU.
    if (linear) await progress.stage(qualityOf('linear maps'), testIn('linear', layers));
    const pairs = await progress.stage('pairs', () =>
      choosePairs(parent, prunedModel(parent, layers, linear ? 'linear' : 'skip'), layers, windows.choosing, {
        count: sharePairs,
        share,
        log,
        signal,
      }),
    );
    throwIfAborted(signal);
    await writeChild(staged, parent, jsonOf(pairs), fits, share);
    return { r2, pairs };
  });
  const json = jsonOf(pairs);
  const child = specOf(json);
  if (linear) await step('linear maps', childSpec(true), testIn('linear', layers));
  const measureWritten = (name: string): Promise<void> =>
    step(name, child, () => withOnGpu(staged.source, gpuOptions, measure));
  begins('written');
  const shared = `${sharePairs} ${sharePairs === 1 ? 'pair' : 'pairs'} shared (${share})`;
  await measureWritten(sharePairs > 0 ? `written, ${shared}` : 'written');
  let healing: ConvertReport['healing'];
  if (options.heal) {
    begins('healing');
    const done = await healStages(progress, parent, child, windows, options.heal, { log, onEvent, signal });
    await measureWritten('healed');
    const [before, after] = steps.slice(-2).map(({ perplexity }) => perplexity);
    healing = { ...done, perplexity: { before: before!, after: after! } };
  }
  begins('speed');
  const mapped = layers.every((layer) => parent.runner.parts.weights.linear.has(layer));
  const given = choice ? { skip: choice.order, linear: choice.order } : options.order;
  const speed = await withOnGpu(staged.source, gpuOptions, async (written) => {
    if (given) await writeAnalysis(staged, written, windows, orderWithout(given, layers), options);
    const dropped = { ...parent, ...prunedModel(parent, layers, 'skip') };
    const linear = mapped ? { ...parent, ...prunedModel(parent, layers, 'linear') } : undefined;
    return measureSpeed({ parent, dropped, linear, child: written }, signal);
  });
  const timed = ['parent', 'dropped', ...(linear ? (['linear'] as const) : [])] as const;
  for (const [i, stage] of steps.entries()) {
    const decode = speed.decode[timed[i] ?? 'child'];
    if (decode) stage.decode = decode;
  }
  const [first, last] = [steps[0]!, steps.at(-1)!];
  const both = (field: 'parameters' | 'weightBytes' | 'kvBytesPerToken') => ({
    parent: first[field],
    child: last[field],
  });
  const report: ConvertReport = {
    parent: options.parentName ?? parent.source.name,
    front: layers[0]!,
    mlpOnly: layers.length,
    end: spec.blocks.length - 1 - layers.at(-1)!,
    sharedPairs: sharePairs,
    share: sharePairs > 0 ? share : undefined,
    pairs,
    layers,
    choice,
    r2,
    steps,
    healing,
    speed,
    tokens: tokenCounts(windows),
    parameters: both('parameters'),
    weightBytes: both('weightBytes'),
    kvBytesPerToken: both('kvBytesPerToken'),
  };
  await staged.write(CARD_FILE, modelCard(report, await parentFacts(parent.source), String(json.model_type)));
  await staged.write(REPORT_FILE, `${JSON.stringify(report, null, 2)}\n`);
  return report;
}

/** Writes the order in which attention that is left may go, and with linear maps those that may take its place, of the child as it is. */
async function writeAnalysis(
  staged: Pick<Staged, 'write'>,
  { runner, plan, dtype }: OnGpu,
  windows: Windows,
  order: AnalysedOrder,
  { linear = false, signal, log = () => {} }: ConvertOptions,
): Promise<void> {
  const analysis: AnalysisFile = { order };
  if (linear && order.linear.length > 0) {
    const onProgress = timeLeft(log, 'fitting maps to the blocks that are left');
    const fits = await calibrate(runner, plan, windows, order.linear, { signal, onProgress });
    await staged.write(MAPS_FILE, tensorFile(mapTensors(fits, dtype)));
    analysis.maps = MAPS_FILE;
  }
  await staged.write(ANALYSIS_FILE, `${JSON.stringify(analysis, null, 2)}\n`);
}

/** The blocks that are missed least, chosen one by one; what was measured is kept as it comes. */
async function chosenBlocks(
  parent: OnGpu,
  windows: Windows,
  progress: Progress,
  { count }: ReturnType<typeof checkTarget>,
  { linear = false, maxPerplexity, choosing, signal, log, onEvent = () => {} }: ConvertOptions,
): Promise<Choice> {
  const chosen: ChosenBlock[] = [];
  const target = { mode: linear ? 'linear' : 'skip', count, within: maxPerplexity } as const;
  const choice = await chooseLayers(parent, windows, target, {
    ...choosing,
    notes: progress.get('measured'),
    async onMeasured(notes) {
      await progress.set('measured', notes);
      progress.keeps = true;
    },
    onChosen(block: ChosenBlock, parent: Measure) {
      chosen.push(block);
      onEvent({ kind: 'chosen', chosen: [...chosen], parent });
    },
    log,
    signal,
  });
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
  { rank, inputs, signal, log = () => {} }: ConvertOptions,
): Promise<typeof NO_MAPS> {
  const fits = await calibrate(runner, plan, windows, layers, {
    sequential: true,
    rank,
    inputs,
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

import { makeRunner, withStoredWidth } from '../engine/engine.ts';
import type { Runner } from '../engine/runner.ts';
import type { RunnerOptions } from '../engine/size.ts';
import { ShishuError } from '../errors.ts';
import { readEntries } from '../formats/checkpoint.ts';
import { readJson } from '../formats/json.ts';
import { openSource, type Source, type SourceLike } from '../formats/source.ts';
import type { Gpu } from '../gpu/device.ts';
import { type ModelConfig, parseConfig } from '../model/config.ts';
import { fillFromCheckpoint } from '../model/load.ts';
import { type Plan, planOf, tensorSpecs } from '../model/plan.ts';
import type { FillPlan } from '../model/weights.ts';
import { KNOWN_PRESETS, type ModelSpec, shapeModel, specText } from './models.ts';
import { fillSynthetic } from './synthetic.ts';

/** Equal seeds, equal weights. */
const SEED = 1;

/** A model before its weights are on the GPU. */
export interface Described {
  spec: string;
  label: string;
  weights: 'folder' | 'synthesised';
  config: ModelConfig;
  plan: Plan;
  fill(gpu: Gpu, what: FillPlan, signal?: AbortSignal): Promise<void>;
}

/** Sizes of a session. */
export type SessionOptions = Pick<RunnerOptions, 'dtype' | 'kv' | 'contextLength' | 'batch'>;

/** Where the text of a folder's spec leads; the page knows URLs, the command knows disks. */
export type OpenFolder = (source: string) => SourceLike | Promise<SourceLike>;

/** Opens a folder and reads its config.json. */
async function openConfig(
  source: string,
  openFolder: OpenFolder,
  signal: AbortSignal | undefined,
): Promise<{ folder: Source; declared: ModelConfig }> {
  try {
    const folder = openSource(await openFolder(source));
    const json = await readJson(folder, 'config.json', { code: 'bad-config' }, signal);
    return { folder, declared: parseConfig(json) };
  } catch (cause) {
    // A preset's name with a slip in it is taken for a folder's.
    if (!(cause instanceof ShishuError && cause.code === 'not-found') || /[/\\]/.test(source)) throw cause;
    throw new ShishuError('not-found', `"${source}" is no preset, and no folder with a config.json.`, {
      details: cause.details,
      mend: KNOWN_PRESETS,
      cause,
    });
  }
}

/** Reads what there is to know of a model without a GPU. `blocks` slices shapes; folders are always whole. */
export async function describe(
  spec: ModelSpec,
  options: { blocks?: number | undefined; openFolder: OpenFolder; signal?: AbortSignal | undefined },
): Promise<Described> {
  const { signal } = options;
  if (spec.kind === 'shape') {
    const { label, config } = shapeModel(spec, options.blocks);
    return {
      spec: specText(spec),
      label,
      weights: 'synthesised',
      config,
      plan: planOf(config),
      fill: (gpu, what, signal) => fillSynthetic(gpu, what, SEED, signal),
    };
  }
  const { folder, declared } = await openConfig(spec.source, options.openFolder, signal);
  const { config, checkpoint } = withStoredWidth(folder, await readEntries(folder, signal), declared);
  return {
    spec: specText(spec),
    label: spec.source.split(/[/\\]/).filter(Boolean).at(-1) ?? spec.source,
    weights: 'folder',
    config,
    plan: planOf(config),
    fill: (gpu, what, signal) => fillFromCheckpoint(gpu, what, checkpoint, tensorSpecs(config), { signal }),
  };
}

/** A model on the GPU. */
export interface Session {
  described: Described;
  gpu: Gpu;
  runner: Runner;
  close(): void;
}

/** Puts a model on the GPU. @throws ShishuError `does-not-fit`, `out-of-memory`, `io`, `aborted` */
export async function openSession(
  gpu: Gpu,
  described: Described,
  options: SessionOptions,
  signal?: AbortSignal,
): Promise<Session> {
  const { config, plan } = described;
  const runner = await makeRunner(
    gpu,
    config,
    plan,
    options,
    (what, signal) => described.fill(gpu, what, signal),
    { signal },
  );
  return { described, gpu, runner, close: () => runner.ledger.releaseAll() };
}

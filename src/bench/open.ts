import { checkpointFor, makeRunner } from '../engine/engine.ts';
import type { Runner } from '../engine/runner.ts';
import type { RunnerOptions } from '../engine/size.ts';
import { ShishuError } from '../errors.ts';
import { specsOf } from '../families/index.ts';
import { readEntries } from '../formats/checkpoint.ts';
import { hubPlace } from '../formats/hub.ts';
import { readJson } from '../formats/json.ts';
import { openSource, type SourceLike } from '../formats/open-source.ts';
import type { Source } from '../formats/source.ts';
import type { Gpu } from '../gpu/device.ts';
import { fillFromCheckpoint } from '../model/load.ts';
import { type ModelSpec, type Plan, planOf, tensorsOf } from '../model/spec.ts';
import type { FillPlan } from '../model/weights.ts';
import { type BenchModel, benchModelText, KNOWN_PRESETS, shapeModel } from './models.ts';
import { fillSynthetic } from './synthetic.ts';

/** Equal seeds, equal weights. */
const SEED = 1;

/** A model before its weights are on the GPU. */
export interface Described {
  asked: string;
  label: string;
  weights: 'folder' | 'synthesised';
  spec: ModelSpec;
  plan: Plan;
  fill(gpu: Gpu, what: FillPlan, signal?: AbortSignal): Promise<void>;
}

/** Sizes of a session. */
export type SessionOptions = Pick<RunnerOptions, 'dtype' | 'kv' | 'contextLength' | 'batch'>;

/** Opens a folder by its name: in the page a URL, in the command also a path. */
export type OpenFolder = (source: string) => SourceLike | Promise<SourceLike>;

/** Opens a folder and reads its config.json. */
async function openConfig(
  source: string,
  openFolder: OpenFolder,
  signal: AbortSignal | undefined,
): Promise<{ folder: Source; specs: ReturnType<typeof specsOf> }> {
  try {
    const folder = openSource(await openFolder(source));
    const json = await readJson(folder, 'config.json', { code: 'bad-config' }, signal);
    return { folder, specs: specsOf(json) };
  } catch (cause) {
    // A misspelt preset is taken for a folder.
    if (!(cause instanceof ShishuError && cause.code === 'not-found') || /[/\\]/.test(source)) throw cause;
    throw new ShishuError('not-found', `"${source}" is no preset, and no folder with a config.json.`, {
      details: cause.details,
      mend: KNOWN_PRESETS,
      cause,
    });
  }
}

/** Reads all of a model but its weights. `blocks` slices shapes; folders are always whole. */
export async function describe(
  asked: BenchModel,
  options: { blocks?: number | undefined; openFolder: OpenFolder; signal?: AbortSignal | undefined },
): Promise<Described> {
  const { signal } = options;
  if (asked.kind === 'shape') {
    const { label, spec } = shapeModel(asked, options.blocks);
    return {
      asked: benchModelText(asked),
      label,
      weights: 'synthesised',
      spec,
      plan: planOf(spec),
      fill: (gpu, what, signal) => fillSynthetic(gpu, what, SEED, signal),
    };
  }
  const hub = hubPlace(asked.source);
  const { folder, specs } = await openConfig(asked.source, options.openFolder, signal);
  const { spec, checkpoint } = checkpointFor(folder, await readEntries(folder, signal), specs);
  return {
    asked: benchModelText(asked),
    label: hub?.file ?? (hub?.id ?? asked.source).split(/[/\\]/).filter(Boolean).at(-1) ?? asked.source,
    weights: 'folder',
    spec,
    plan: planOf(spec),
    fill: (gpu, what, signal) => fillFromCheckpoint(gpu, what, checkpoint, tensorsOf(spec), { signal }),
  };
}

/** A model on the GPU. */
export interface Session extends Described {
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
  const fill = (what: FillPlan, signal: AbortSignal) => described.fill(gpu, what, signal);
  const runner = await makeRunner(gpu, described.spec, options, fill, { signal });
  return { ...described, runner, close: () => runner.ledger.releaseAll() };
}

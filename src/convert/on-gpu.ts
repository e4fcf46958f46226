import { checkpointFor, makeRunner, storedDtype } from '../engine/engine.ts';
import type { Runner } from '../engine/runner.ts';
import { ShishuError } from '../errors.ts';
import { specsOf } from '../families/index.ts';
import { type Checkpoint, readEntries } from '../formats/checkpoint.ts';
import { type Json, readJson } from '../formats/json.ts';
import { openSource, type SourceLike } from '../formats/open-source.ts';
import type { Source } from '../formats/source.ts';
import { loadTokenizer, type Tokenizer } from '../formats/tokenizer.ts';
import { type GpuOptions, openGpu } from '../gpu/device.ts';
import type { Tuning } from '../kernels/tuning.ts';
import { fillFromCheckpoint } from '../model/load.ts';
import { attentionOf, convOf, type ModelSpec, type Plan, planOf, tensorsOf } from '../model/spec.ts';
import type { FillPlan } from '../model/weights.ts';
import { mergeAdapter } from './merge.ts';

/** A model folder opened for analysis: files, and the model on the GPU. */
export interface OnGpu {
  source: Source;
  configJson: Json;
  spec: ModelSpec;
  checkpoint: Checkpoint;
  /** How the folder stores its weights. */
  dtype: 'F32' | 'F16' | 'BF16';
  tokenizer: Tokenizer;
  plan: Plan;
  runner: Runner;
  /** Where tensors are on the GPU. */
  fill: FillPlan;
  /** Frees the GPU. */
  close(): void;
}

/** The GPU, and what tests set of how it is used. */
export type OpenOptions = GpuOptions & {
  tuning?: Partial<Tuning>;
  chunk?: number;
  signal?: AbortSignal | undefined;
  /** Called as weights arrive on the GPU, with bytes as stored. */
  onProgress?: ((loaded: number, total: number) => void) | undefined;
};

export interface MergeOptions {
  /** A LoRA adapter of peft's, merged into the weights as they are read. */
  adapter?: SourceLike | undefined;
}

/** Bytes of a weight as stored. */
export const bytesOf = (dtype: OnGpu['dtype']): 4 | 2 => (dtype === 'F32' ? 4 : 2);

/** Longest window of text that is taken unasked. */
const MOST_CONTEXT = 1024;

/**
 * Opens a model folder for analysis. The weights are on the GPU as f32, or f16 when stored so.
 * @throws ShishuError as `loadModel`
 */
export async function openOnGpu(
  like: SourceLike,
  { signal, onProgress, adapter, ...gpuOptions }: OpenOptions & MergeOptions = {},
): Promise<OnGpu> {
  const folder = openSource(like);
  const source = adapter === undefined ? folder : await mergeAdapter(folder, openSource(adapter), signal);
  const configJson = await readJson(source, 'config.json', { code: 'bad-config' }, signal);
  const specs = specsOf(configJson);
  const [entries, tokenizer] = await Promise.all([
    readEntries(source, signal),
    loadTokenizer(source, specs[0].vocabSize, signal),
  ]);
  const { spec, checkpoint } = checkpointFor(source, entries, specs);
  const dtype = storedDtype(checkpoint, spec);
  const plan = planOf(spec);
  const gpu = await openGpu(gpuOptions);
  let loaded = 0;
  let fill: FillPlan | undefined;
  try {
    const runner = await makeRunner(
      gpu,
      spec,
      {
        dtype: dtype === 'F16' ? 'f16' : 'f32',
        kv: 'f32',
        contextLength: Math.min(spec.maxPositions, MOST_CONTEXT),
        batch: 1,
        ...gpuOptions,
      },
      (what, signal) => {
        fill = what;
        return fillFromCheckpoint(gpu, what, checkpoint, tensorsOf(spec), {
          signal,
          onBytes(bytes) {
            loaded += bytes;
            onProgress?.(loaded, checkpoint.bytes);
          },
        });
      },
      { signal },
    );
    const close = (): void => {
      runner.ledger.releaseAll();
      gpu.close();
    };
    return { source, configJson, spec, checkpoint, dtype, tokenizer, plan, runner, fill: fill!, close };
  } catch (error) {
    gpu.close();
    throw error;
  }
}

/** Opens a model folder as `openOnGpu`, and frees the GPU when `use` is done. */
export async function withOnGpu<T>(
  like: SourceLike,
  options: OpenOptions & MergeOptions,
  use: (model: OnGpu) => Promise<T>,
): Promise<T> {
  const model = await openOnGpu(like, options);
  try {
    return await use(model);
  } finally {
    model.close();
  }
}

/** @throws ShishuError `unsupported` for a model without attention in all of its blocks */
export function refuseChild({ source, spec }: Pick<OnGpu, 'source' | 'spec'>): void {
  const layers = spec.blocks.length;
  const convolutions = [...convOf(spec).keys()];
  if (convolutions.length > 0)
    throw new ShishuError(
      'unsupported',
      `Blocks ${convolutions.join(', ')} of ${source.name} have short convolutions, and no attention to take.`,
      {
        details: { convolutions: convolutions.length, layers },
        mend: 'Convert a model whose blocks all attend.',
      },
    );
  const mlpOnly = layers - attentionOf(spec).size;
  if (mlpOnly === 0) return;
  throw new ShishuError(
    'unsupported',
    `${source.name} is a ShishuLM already: ${mlpOnly} of its ${layers} blocks have no attention.`,
    { details: { mlpOnly, layers }, mend: 'Convert its parent.' },
  );
}

import { Ledger } from '../../src/gpu/buffer.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import type { ShaderSpec } from '../../src/gpu/kernel.ts';
import { checkDeclared } from '../../src/gpu/kernel.ts';
import type { Pipeline, PipelineCache } from '../../src/gpu/pipeline.ts';
import { Recorder } from '../../src/gpu/recorder.ts';
import { MAX_TOP } from '../../src/kernels/logits.ts';
import { score, topLogprobs } from '../../src/kernels/logprobs.ts';
import { loraAdd, loraGate } from '../../src/kernels/lora.ts';
import { addMoments } from '../../src/kernels/moments.ts';
import { norm } from '../../src/kernels/norm.ts';
import { pool } from '../../src/kernels/pool.ts';
import { argmax } from '../../src/kernels/sample.ts';
import { adjust, sample } from '../../src/kernels/sampling.ts';
import { synthesise } from '../../src/kernels/synthesise.ts';
import type { Weight, WeightDtype } from '../../src/kernels/tensor.ts';
import type { Tuning } from '../../src/kernels/tuning.ts';
import type { ProjectionName } from '../../src/model/adapter.ts';
import type { AdapterSet, Site } from '../../src/model/adapters.ts';
import { allocateScratch, recordBlocks, recordHead, recordLinear } from '../../src/model/forward.ts';
import { KvCache } from '../../src/model/kvcache.ts';
import { type ModelSpec, planOf } from '../../src/model/spec.ts';
import { allocateWeights, type Weights } from '../../src/model/weights.ts';
import { VALUE_FORMATS } from '../../src/quant/index.ts';
import { TINY_MODEL_NAMES, type TinyModelName, tinyModel } from './tiny-models.ts';

const configs = new Map(TINY_MODEL_NAMES.map((name) => [name, tinyModel(name, 1).spec]));

/** The same GPU, noting which shaders are asked for instead of compiling them. */
function listening(on: Gpu): { on: Gpu; asked: ShaderSpec[] } {
  const asked: ShaderSpec[] = [];
  const pipelines = {
    get(spec: ShaderSpec): Promise<Pipeline> {
      asked.push(spec);
      return new Promise(() => {});
    },
  } as unknown as PipelineCache;
  return { on: { ...on, pipelines }, asked };
}

/** Adapters of every projection, in buffers that are not theirs. */
function anyAdapters({ attention, mlp, conv }: Weights, any: GPUBuffer): AdapterSet {
  const weightOf = (layer: number, projection: ProjectionName): Weight => {
    if (projection === 'qkv' || projection === 'out') return attention.get(layer)![projection];
    if (projection === 'convIn' || projection === 'convOut')
      return conv.get(layer)![projection === 'convIn' ? 'in' : 'out'];
    return mlp.get(layer)![projection];
  };
  const site = (layer: number, projection: ProjectionName): Site => {
    const { rows, cols, hasGain } = weightOf(layer, projection);
    const part = { dtype: 'f32', row0: 0, rows: 12, codes: any, scales: undefined, vectors: any } as const;
    const a = { rows: 12, cols, hasGain, hasBias: false, parts: [part] };
    // Which rows are whose changes no more than numbers.
    const matrices =
      projection === 'qkv' ? [rows - 2, 1, 1] : projection === 'gateUp' ? [rows / 2, rows / 2] : [rows];
    return {
      a,
      matrices,
      rank: 12,
      items: 8,
      b: any,
      table: any,
      entries: new Map(),
      words: new Uint32Array(0),
    };
  };
  return { site, scratch: () => any, chosen: any, sequences: 2, loraAdd, loraGate } as unknown as AdapterSet;
}

/** The shaders of a model: blocks and head at every width, with adapters too where asked for, every way of choosing a token, and calibration's sums. */
export function shadersOf(
  real: Gpu,
  tuning: Tuning,
  model: TinyModelName | ModelSpec,
  dtype: WeightDtype,
  kvDtype: 'f32' | 'f16',
  { withAdapters = false } = {},
): ShaderSpec[] {
  const { on, asked } = listening(real);
  const ledger = new Ledger(real);
  const spec = typeof model === 'string' ? configs.get(model)! : model;
  const plan = planOf(spec);
  // Of a chunk and of a batch: each number of rows may have a kernel of its own.
  const size = { rows: 256, decodeRows: 16, logitRows: 32, context: 600, sequences: 16 };
  const scratch = allocateScratch(ledger, tuning, spec, size);
  const { weights } = allocateWeights(real, ledger, spec, dtype);
  const kv = new KvCache(ledger, spec, { ...size, dtype: kvDtype });
  const any = scratch.parts;
  const hidden = { buffer: any, cols: spec.hiddenSize };
  const adapters = anyAdapters(weights, any);
  const parts = { gpu: on, tuning, spec, weights, kv, scratch, adapters };
  for (const width of ['one', 'few', 'batch', 'many'] as const) {
    for (const adapted of withAdapters ? [false, true] : [false])
      void recordBlocks(parts, plan, any, width, adapted);
    void recordHead(parts, width);
  }
  const recorder = new Recorder(on);
  const { logits, step } = scratch;
  const between = () => any;
  const choice = { logits, next: any, sampled: any, samplers: any, step, between };
  argmax(tuning, recorder, choice);
  sample(tuning, recorder, choice);
  score(tuning, recorder, { logits, targets: any, scores: any, step, between });
  for (const bias of [undefined, any])
    for (const mask of [undefined, any])
      adjust(tuning, recorder, { ...choice, adjusted: logits, counts: any, bias, mask });
  for (const top of [0, MAX_TOP])
    topLogprobs(tuning, recorder, { logits, top, sampled: any, out: any, step, between });
  for (const weight of [weights.embed, weights.mlp.get(0)!.down])
    for (const part of weight.parts.filter(({ dtype }) => dtype in VALUE_FORMATS))
      synthesise(recorder, { weight, part, seed: 1, uniform: () => any });
  for (const layer of weights.linear.keys())
    recordLinear(parts, recorder, { layer, rows: any, to: hidden, width: 'many' });
  norm(on, tuning, recorder, { label: 'z', x: scratch.x, out: any, eps: 1e-6, head: false, step });
  pool(recorder, { x: scratch.x, spans: any, out: any, step });
  const to = { G: any, C: any, vectors: any, odd: any };
  addMoments(recorder, { d: spec.hiddenSize, z: any, before: any, after: any, rows: any, to, step });
  ledger.releaseAll();
  for (const spec of asked) checkDeclared(spec);
  return asked;
}

// A model on a GPU on paper: its launches are recorded as the engine records them, and nothing is compiled or run.

import { Runner } from '../../src/engine/runner.ts';
import { GREEDY, type SamplingKind } from '../../src/engine/sampler.ts';
import { allocateParts } from '../../src/engine/size.ts';
import { Ledger } from '../../src/gpu/buffer.ts';
import { askedOf, checkDeclared, type ShaderSpec } from '../../src/gpu/kernel.ts';
import type { Pipeline, PipelineCache } from '../../src/gpu/pipeline.ts';
import type { Dispatch, StepShape } from '../../src/gpu/recorder.ts';
import type { WeightDtype } from '../../src/kernels/tensor.ts';
import { widthOf } from '../../src/kernels/tuning.ts';
import { recordBlocks, recordHead } from '../../src/model/forward.ts';
import { type ModelSpec, planOf } from '../../src/model/spec.ts';
import { type Adapter, paperGpu } from './paper-gpu.ts';

/** How a token is drawn with a temperature. */
export const SAMPLED: SamplingKind = { ...GREEDY, greedy: false };

/** The launches of a step, and its shape. */
export interface PaperStep {
  step: StepShape;
  blocks: Dispatch[];
  head: Dispatch[];
  /** What chooses a token of the logits. */
  choice: Dispatch[];
}

export interface PaperOptions {
  dtype: WeightDtype;
  kv: 'f32' | 'f16';
  /** Positions that the KV cache has room for. */
  context: number;
  /** Sequences (default 1). */
  batch?: number;
}

/** Records steps of a model. */
export class PaperModel {
  readonly #runner: Runner;

  constructor(adapter: Adapter, spec: ModelSpec, { dtype, kv, context, batch = 1 }: PaperOptions) {
    const gpu = paperGpu(adapter);
    const pipelines = {
      async get(shader: ShaderSpec): Promise<Pipeline> {
        checkDeclared(shader);
        const bindings = shader.kernel.bindings(askedOf(shader));
        return { label: shader.kernel.name, bindings, handle: {}, layout: {} } as unknown as Pipeline;
      },
    } as PipelineCache;
    const on = { ...gpu, pipelines };
    Object.assign(on.device, {
      createBindGroup: () => ({}),
      pushErrorScope() {},
      popErrorScope: async () => null,
    });
    const ledger = new Ledger(on, { onPaper: true });
    const { parts } = allocateParts(on, ledger, spec, { dtype, kv, contextLength: context, batch });
    this.#runner = new Runner(parts, ledger);
  }

  async #record(
    step: Omit<StepShape, 'next' | 'first'>,
    prompt: boolean,
    kind: SamplingKind,
  ): Promise<PaperStep> {
    const { parts, sampler } = this.#runner;
    const { tuning, spec } = parts;
    const { rows, count } = step;
    const width = widthOf(tuning, rows, prompt);
    return {
      step: { ...step, first: rows - count, next: 0 },
      blocks: await recordBlocks(parts, planOf(spec), parts.scratch.parts, width),
      head: count === 0 ? [] : await recordHead(parts, widthOf(tuning, count, false)),
      choice: count === 0 ? [] : (await sampler.prepare(kind)).dispatches,
    };
  }

  /** One token of each of so many sequences at a position. */
  decode(position: number, rows = 1, kind: SamplingKind = GREEDY): Promise<PaperStep> {
    return this.#record({ rows, count: rows, context: position + 1 }, false, kind);
  }

  /** A prompt in the chunks that it runs in; the last one's token is chosen. */
  async prompt(tokens: number): Promise<PaperStep[]> {
    const steps: PaperStep[] = [];
    for (let at = 0; at < tokens; ) {
      const rows = Math.min(this.#runner.parts.scratch.rows, tokens - at);
      at += rows;
      steps.push(await this.#record({ rows, count: at < tokens ? 0 : 1, context: at }, true, GREEDY));
    }
    return steps;
  }
}

/** All launches of a step, in their order. */
export const launchesOf = ({ blocks, head, choice }: PaperStep): Dispatch[] => [
  ...blocks,
  ...head,
  ...choice,
];

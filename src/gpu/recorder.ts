import { ShishuError } from '../errors.ts';
import { guardMemory, type Slice } from './buffer.ts';
import type { Gpu } from './device.ts';
import type { ShaderSpec } from './kernel.ts';
import type { Pipeline } from './pipeline.ts';

/** What a dispatch's size may depend on; the host's copy of the shaders' `Step`, and the longest context among the rows. */
export interface StepShape {
  /** Rows of this forward. */
  rows: number;
  /** First row whose logits are wanted, and how many. */
  first: number;
  count: number;
  /** Row of the next step that the first sampled token goes to. */
  next: number;
  /** Tokens that the longest row attends to. */
  context: number;
}

/** Writes a step for the shaders. */
export const writeStep = (
  { device }: Pick<Gpu, 'device'>,
  buffer: GPUBuffer,
  { rows, first, count, next }: Omit<StepShape, 'context'>,
): void => device.queue.writeBuffer(buffer, 0, new Uint32Array([rows, first, count, next]));

export type Grid = readonly [x: number, y: number, z: number];

/** One kernel launch, ready to encode. */
export interface Dispatch {
  readonly label: string;
  /** Block of the stack it belongs to; undefined outside the blocks. */
  readonly block: number | undefined;
  readonly pipeline: Pipeline;
  readonly group: GPUBindGroup;
  /** Workgroups for a step; undefined when this step does not need the launch. */
  readonly grid: (step: StepShape) => Grid | undefined;
}

export interface DispatchSpec {
  label: string;
  shader: ShaderSpec;
  /** Buffer of each variable the shader declares in group 0. */
  bind: Readonly<Record<string, GPUBuffer | Slice | undefined>>;
  grid: (step: StepShape) => Grid | undefined;
}

/** Collects launches; pipelines compile side by side and bind groups are made once. */
export class Recorder {
  readonly #gpu: Gpu;
  readonly #pending: Promise<() => Dispatch>[] = [];
  block: number | undefined;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  add({ label, shader, bind, grid }: DispatchSpec): void {
    const { block } = this;
    const make = async (): Promise<() => Dispatch> => {
      const pipeline = await this.#gpu.pipelines.get(shader);
      const entries = [...pipeline.bindings].map(([name, binding]): GPUBindGroupEntry => {
        const bound = bind[name];
        if (!bound)
          throw new ShishuError('shader', `Nothing is bound to "${name}" of ${shader.kernel.name}.wgsl.`);
        return { binding, resource: 'buffer' in bound ? bound : { buffer: bound } };
      });
      return () => {
        const group = this.#gpu.device.createBindGroup({ label, layout: pipeline.layout, entries });
        return { label, block, pipeline, group, grid };
      };
    };
    this.#pending.push(make());
  }

  async finish(): Promise<Dispatch[]> {
    const makers = await Promise.all(this.#pending);
    return guardMemory(this.#gpu, 'what kernels are bound to', () => makers.map((make) => make()));
  }
}

/** Spreads a count of workgroups over two dimensions where one is too short. */
export function spread(workgroups: number, limit: number): [x: number, y: number] {
  const y = Math.ceil(workgroups / limit);
  return [Math.ceil(workgroups / y), y];
}

/** Encodes launches into an open pass; returns how many there were. */
export function encode(
  pass: GPUComputePassEncoder,
  dispatches: readonly Dispatch[],
  step: StepShape,
): number {
  let launched = 0;
  for (const { pipeline, group, grid } of dispatches) {
    const size = grid(step);
    if (!size) continue;
    pass.setPipeline(pipeline.handle);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(...size);
    launched++;
  }
  return launched;
}

/** How many launches a step takes. */
export const countDispatches = (dispatches: readonly Dispatch[], step: StepShape): number =>
  dispatches.filter(({ grid }) => grid(step) !== undefined).length;

import { ShishuError } from '../errors.ts';
import { guardMemory, type Slice } from './buffer.ts';
import type { Gpu } from './device.ts';
import { askedOf, type Grid, type ShaderSpec, type StepShape } from './kernel.ts';
import type { Pipeline } from './pipeline.ts';

export type { Grid, StepShape };

/** Writes a step for the shaders. */
export const writeStep = (
  { device }: Pick<Gpu, 'device'>,
  buffer: GPUBuffer,
  { rows, first, count, next }: Omit<StepShape, 'context'>,
): void => device.queue.writeBuffer(buffer, 0, new Uint32Array([rows, first, count, next]));

/** One kernel launch, ready to encode. */
export interface Dispatch {
  readonly label: string;
  /** Block of the stack it belongs to; undefined outside the blocks. */
  readonly block: number | undefined;
  readonly shader: ShaderSpec;
  readonly pipeline: Pipeline;
  /** Buffer of each binding. */
  readonly bind: Readonly<Record<string, Slice>>;
  readonly group: GPUBindGroup;
  readonly items: number;
  /** Workgroups for a step; undefined when this step does not need the launch. */
  readonly grid: (step: StepShape) => Grid | undefined;
  /** As `grid`, for a step that another launch is for too: every variant can be tested with one step. */
  readonly anyGrid: (step: StepShape) => Grid | undefined;
}

export interface DispatchSpec {
  label: string;
  shader: ShaderSpec;
  /** Buffer of each binding that the kernel declares, and of no other. */
  bind: Readonly<Record<string, GPUBuffer | Slice | undefined>>;
  /** How many items there are, of kernels that cannot tell otherwise. */
  items?: number;
  /** The steps that the launch is for, where others have another one. */
  when?: (step: StepShape) => boolean;
}

/** Collects launches; pipelines compile side by side and bind groups are made once. */
export class Recorder {
  readonly gpu: Gpu;
  readonly #pending: Promise<() => Dispatch>[] = [];
  block: number | undefined;

  constructor(gpu: Gpu) {
    this.gpu = gpu;
  }

  add({ label, shader, bind, items = 0, when }: DispatchSpec): void {
    const { block } = this;
    const { kernel } = shader;
    const asked = askedOf(shader);
    const { workgroups } = this.gpu.limits;
    const anyGrid = (step: StepShape): Grid | undefined => kernel.grid({ ...asked, step, items }, workgroups);
    const grid = (step: StepShape): Grid | undefined => (!when || when(step) ? anyGrid(step) : undefined);
    const make = async (): Promise<() => Dispatch> => {
      const pipeline = await this.gpu.pipelines.get(shader);
      const slices: Record<string, Slice> = {};
      for (const [name, bound] of Object.entries(bind))
        if (bound) slices[name] = 'buffer' in bound ? bound : { buffer: bound };
      const entries = pipeline.bindings.map(({ name }, binding): GPUBindGroupEntry => {
        const resource = slices[name];
        if (!resource)
          throw new ShishuError('shader', `Nothing is bound to "${name}" of ${kernel.name}.wgsl.`);
        return { binding, resource };
      });
      const odd = Object.keys(slices).find((bound) => pipeline.bindings.every(({ name }) => name !== bound));
      if (odd !== undefined)
        throw new ShishuError('shader', `"${odd}" is bound, and no binding of ${kernel.name}.wgsl.`);
      return () => {
        const group = this.gpu.device.createBindGroup({ label, layout: pipeline.layout, entries });
        return { label, block, shader, pipeline, bind: slices, items, group, grid, anyGrid };
      };
    };
    this.#pending.push(make());
  }

  async finish(): Promise<Dispatch[]> {
    const makers = await Promise.all(this.#pending);
    return guardMemory(this.gpu, 'what kernels are bound to', () => makers.map((make) => make()));
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

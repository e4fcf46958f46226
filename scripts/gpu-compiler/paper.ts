// A GPU on paper: it makes nothing, and notes the shaders that are asked of it.
import type { Gpu } from '../../src/gpu/device.ts';
import type { PipelineCache } from '../../src/gpu/pipeline.ts';
import type { ShaderSpec } from '../../src/gpu/shader.ts';

/** What kernels choose by, of an adapter. */
export type Adapter = Pick<Gpu, 'features' | 'subgroupSize' | 'profile'> & { binding: number };

// Node has no WebGPU of its own.
globalThis.GPUBufferUsage ??= {
  COPY_SRC: 4,
  COPY_DST: 8,
  UNIFORM: 64,
  STORAGE: 128,
  MAP_READ: 1,
} as unknown as typeof GPUBufferUsage;

/** @param noted is told of each shader. */
export function paperGpu(
  { binding, ...adapter }: Adapter,
  noted: (spec: ShaderSpec) => void = () => {},
): Gpu {
  const device = {
    limits: { maxBufferSize: Number.POSITIVE_INFINITY },
    queue: { writeBuffer() {} },
    createBuffer: ({ size }: GPUBufferDescriptor) => ({ size, destroy() {} }),
    createBindGroup: () => ({}),
    pushErrorScope() {},
    popErrorScope: async () => null,
  };
  const pipelines = {
    async get(spec: ShaderSpec) {
      noted(spec);
      return { label: spec.name, handle: {}, layout: {}, bindings: new Map() };
    },
  };
  return {
    ...adapter,
    device: device as unknown as GPUDevice,
    limits: { binding, workgroups: 65535 },
    software: false,
    name: 'paper',
    pipelines: pipelines as unknown as PipelineCache,
    lost: undefined,
    close() {},
  };
}

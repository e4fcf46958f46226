import { ShishuError } from '../errors.ts';
import type { Gpu } from './device.ts';

/**
 * A GPU that only checks sizes: the same allocations and recordings run on it as on the real one, nothing is allocated and
 * nothing can be submitted. So a model's bytes and launches are known before the first byte is taken.
 * Storage buffers must fit a binding, because kernels bind them whole.
 */
export function dryGpu(like: Gpu): Gpu {
  const { limits } = like;
  const createBuffer = ({ label = 'A buffer', size, usage }: GPUBufferDescriptor): GPUBuffer => {
    if (usage & GPUBufferUsage.STORAGE && size > limits.binding)
      throw new ShishuError(
        'does-not-fit',
        `${label} needs ${size} bytes, the GPU's largest binding has ${limits.binding}.`,
        { details: { buffer: label, bytes: size, limit: limits.binding } },
      );
    return { label, size, usage, destroy() {} } as unknown as GPUBuffer;
  };
  const device = {
    limits: like.device.limits,
    createBuffer,
    createBindGroup: () => ({}),
    queue: { writeBuffer() {} },
    pushErrorScope() {},
    popErrorScope: async () => null,
  };
  return {
    ...like,
    limits,
    device: device as unknown as GPUDevice,
    pipelines: { get: async () => ({ bindings: new Map() }) } as unknown as Gpu['pipelines'],
    close() {},
  };
}

import type { Gpu } from '../../src/gpu/device.ts';
import { allShaders } from '../../src/gpu/shader.ts';

// What compiles nothing asks for texts without fetching them.
await allShaders();

/** What kernels choose by, of an adapter. */
export type Adapter = Pick<Gpu, 'features' | 'subgroupSize' | 'profile'> & { binding: number };

/** @param sizes of subgroups, where it has them */
export const adapterOf = (
  profile: Adapter['profile'],
  f16: boolean,
  sizes?: Adapter['subgroupSize'],
): Adapter => ({
  profile,
  features: { f16, subgroups: sizes !== undefined, timestamps: false },
  subgroupSize: sizes ?? { min: 0, max: 0 },
  binding: 2 ** 27,
});

// Node has no WebGPU of its own.
globalThis.GPUBufferUsage ??= { STORAGE: 128, COPY_DST: 8, COPY_SRC: 4, UNIFORM: 64 } as never;

/** A GPU on paper: kernels can be asked what they would make on it, and nothing is made. */
export const paperGpu = ({ binding, ...adapter }: Adapter): Gpu =>
  ({
    ...adapter,
    device: {
      limits: { maxBufferSize: Number.POSITIVE_INFINITY },
      createBuffer: ({ size }: GPUBufferDescriptor) => ({ size, destroy() {} }),
      queue: { writeBuffer() {} },
    },
    limits: { binding, workgroups: 65_535 },
    software: adapter.profile === 'software',
    name: 'paper',
  }) as unknown as Gpu;

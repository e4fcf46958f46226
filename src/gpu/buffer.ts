import { ShishuError } from '../errors.ts';
import type { Gpu } from './device.ts';

/** What a buffer is for; the ledger adds bytes up by it. */
export type Purpose = 'weights' | 'kv' | 'scratch';

/** Part of a buffer, as a kernel binds it. */
export interface Slice {
  buffer: GPUBuffer;
  /** Bytes. */
  offset?: number;
  size?: number;
}

const align = (size: number, to: number): number => Math.ceil(size / to) * to;

/** Owns a set of buffers and knows their bytes. */
export class Ledger {
  readonly #gpu: Gpu;
  readonly #onPaper: boolean;
  readonly #owned = new Map<GPUBuffer, Purpose>();

  /** @param onPaper the device only adds up: contents are for nobody */
  constructor(gpu: Gpu, { onPaper = false } = {}) {
    this.#gpu = gpu;
    this.#onPaper = onPaper;
  }

  /**
   * A zeroed storage buffer.
   * @param bytes rounded up to a multiple of 16
   */
  storage(label: string, bytes: number, purpose: Purpose): GPUBuffer {
    return this.buffer(
      label,
      bytes,
      purpose,
      GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC,
    );
  }

  /** A buffer of any usage. */
  buffer(label: string, bytes: number, purpose: Purpose, usage: GPUBufferUsageFlags): GPUBuffer {
    const size = Math.max(16, align(bytes, 16));
    const { maxBufferSize } = this.#gpu.device.limits;
    if (size > maxBufferSize)
      throw new ShishuError(
        'does-not-fit',
        `${label} needs ${size} bytes, the GPU's largest buffer has ${maxBufferSize}.`,
        {
          details: { buffer: label, bytes: size, limit: maxBufferSize },
          mend: 'Choose a smaller dtype, context or batch.',
        },
      );
    const buffer = this.#gpu.device.createBuffer({ label, size, usage });
    this.#owned.set(buffer, purpose);
    return buffer;
  }

  /** As `storage`, with contents that are not made on paper. */
  filled(label: string, bytes: number, make: () => Float32Array | Uint32Array, purpose: Purpose): GPUBuffer {
    return this.#onPaper ? this.storage(label, bytes, purpose) : this.from(label, make(), purpose);
  }

  /** A storage buffer with these contents. */
  from(label: string, data: Float32Array | Uint32Array, purpose: Purpose): GPUBuffer {
    const buffer = this.storage(label, data.byteLength, purpose);
    this.#gpu.device.queue.writeBuffer(buffer, 0, data as Float32Array<ArrayBuffer>);
    return buffer;
  }

  /** Bytes held for a purpose, or all. */
  bytes(purpose?: Purpose): number {
    let sum = 0;
    for (const [buffer, its] of this.#owned) if (purpose === undefined || its === purpose) sum += buffer.size;
    return sum;
  }

  /** Bytes held for each purpose, and in all. */
  byPurpose(): Record<Purpose | 'total', number> {
    return {
      weights: this.bytes('weights'),
      kv: this.bytes('kv'),
      scratch: this.bytes('scratch'),
      total: this.bytes(),
    };
  }

  release(buffer: GPUBuffer): void {
    if (this.#owned.delete(buffer)) buffer.destroy();
  }

  /** Frees what is held, or what is held for a purpose. */
  releaseAll(purpose?: Purpose): void {
    for (const [buffer, its] of this.#owned)
      if (purpose === undefined || its === purpose) this.release(buffer);
  }
}

/**
 * Begins to watch what the GPU says of what is made and written until the function that it returns is called: at once, with no
 * wait between, for a device has one stack of error scopes, and another's work would get into this one's.
 * @returns ends the watch; its promise is the GPU's word
 */
export function watchErrors({ device }: Pick<Gpu, 'device'>, what: string): () => Promise<void> {
  device.pushErrorScope('out-of-memory');
  device.pushErrorScope('validation');
  return async () => {
    const [invalid, memory] = await Promise.all([device.popErrorScope(), device.popErrorScope()]);
    if (memory)
      throw new ShishuError('out-of-memory', `The GPU is out of memory for ${what}.`, {
        mend: 'Choose a smaller dtype, context or batch, or close other tabs that use the GPU.',
        cause: memory,
      });
    if (invalid)
      throw new ShishuError('shader', `The GPU refused ${what}: ${invalid.message}`, { cause: invalid });
  };
}

/** Runs allocations, without a wait between them; out-of-memory and invalid sizes become typed errors. */
export async function guardMemory<T>(
  gpu: Pick<Gpu, 'device'>,
  what: string,
  run: (() => T) & (T extends PromiseLike<unknown> ? never : unknown),
): Promise<T> {
  const end = watchErrors(gpu, what);
  let value: T;
  try {
    value = run();
  } catch (error) {
    // The GPU's word explains whatever failed inside.
    await end();
    throw error;
  }
  await end();
  return value;
}

/** Reads a buffer back. */
export async function readBuffer(
  gpu: Gpu,
  from: GPUBuffer,
  offset = 0,
  size = from.size - offset,
): Promise<ArrayBuffer> {
  const { device } = gpu;
  const staging = device.createBuffer({
    label: 'read-back',
    size: align(size, 4),
    usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  });
  try {
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(from, offset, staging, 0, align(size, 4));
    device.queue.submit([encoder.finish()]);
    await gpu.readBack.told(staging.mapAsync(GPUMapMode.READ));
    return staging.getMappedRange().slice(0, size);
  } finally {
    staging.destroy();
  }
}

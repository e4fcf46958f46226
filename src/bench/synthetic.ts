import { throwIfAborted } from '../errors.ts';
import { Ledger } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/device.ts';
import { encode, Recorder } from '../gpu/recorder.ts';
import { SYNTHESISE_BYTES, synthesise } from '../kernels/synthesise.ts';
import { gainSize } from '../kernels/tensor.ts';
import type { FillPlan } from '../model/weights.ts';

const STEP = { rows: 0, first: 0, count: 0, next: 0, context: 0 };

/**
 * Fills weights on the GPU: random matrices, gains of one, biases of zero (as allocated). Only the gains are uploaded.
 * @throws ShishuError `aborted`
 */
export async function fillSynthetic(
  gpu: Gpu,
  fill: FillPlan,
  seed: number,
  signal?: AbortSignal,
): Promise<void> {
  const { device } = gpu;
  const seen = new Set<GPUBuffer>();
  let next = seed;
  for (const { weight } of fill.matrices) {
    for (const part of weight.parts) {
      // q, k and v are rows of one matrix.
      if (seen.has(part.codes)) continue;
      seen.add(part.codes);
      throwIfAborted(signal);
      const held = new Ledger(gpu);
      const recorder = new Recorder(gpu);
      synthesise(recorder, {
        weight,
        part,
        seed: next++,
        uniform: (data) => {
          const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
          const buffer = held.buffer('synthesise', SYNTHESISE_BYTES, 'scratch', usage);
          device.queue.writeBuffer(buffer, 0, data as Uint32Array<ArrayBuffer>);
          return buffer;
        },
      });
      const dispatches = await recorder.finish();
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      encode(pass, dispatches, STEP);
      pass.end();
      device.queue.submit([encoder.finish()]);
      held.releaseAll();
    }
  }
  for (const { weight } of fill.gains)
    for (const { vectors } of weight.parts)
      device.queue.writeBuffer(vectors!, 0, new Float32Array(gainSize(weight.cols)).fill(1));
  for (const { buffer, at } of fill.plain)
    device.queue.writeBuffer(buffer, 4 * at, new Float32Array(buffer.size / 4 - at).fill(1));
  await gpu.readBack.told(device.queue.onSubmittedWorkDone());
}

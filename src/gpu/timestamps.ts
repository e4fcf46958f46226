import { readBuffer } from './buffer.ts';
import type { Gpu } from './device.ts';
import { type Dispatch, encode, type StepShape } from './recorder.ts';

/** GPU time of one launch. */
export interface LaunchTime {
  label: string;
  /** Block of the stack; undefined outside the blocks. */
  block: number | undefined;
  /** Mean over the rounds. */
  nanoseconds: number;
}

/** Largest size of a query set in WebGPU. */
const MOST_QUERIES = 4096;

/**
 * Times each launch of a list in a pass of its own by timestamp-query, `rounds` times over. Passes cost, so the sum is
 * more than a step that runs in one pass takes: it tells shares, not speed. `before` runs ahead of each round. One round more
 * goes ahead and does not count: drivers finish some kernels when they first run.
 * Browsers may round timestamps (Chrome: to 100 us), which more rounds even out.
 * @returns undefined when the device has no timestamp-query
 */
export async function timeLaunches(
  gpu: Gpu,
  dispatches: readonly Dispatch[],
  step: StepShape,
  rounds: number,
  before: () => Promise<void> | void = () => {},
): Promise<LaunchTime[] | undefined> {
  if (!gpu.features.timestamps) return undefined;
  const { device } = gpu;
  const list = dispatches.filter(({ grid }) => grid(step) !== undefined);
  const sums = new Float64Array(list.length);
  const most = MOST_QUERIES / 2;
  const size = Math.min(list.length, most);
  const querySet = device.createQuerySet({ type: 'timestamp', count: 2 * size });
  const resolved = device.createBuffer({
    label: 'timestamps',
    size: 16 * size,
    usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
  });
  try {
    for (let round = 0; round <= rounds; round++) {
      await before();
      for (let from = 0; from < list.length; from += most) {
        const part = list.slice(from, from + most);
        const encoder = device.createCommandEncoder();
        part.forEach((dispatch, i) => {
          const pass = encoder.beginComputePass({
            timestampWrites: { querySet, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 },
          });
          encode(pass, [dispatch], step);
          pass.end();
        });
        encoder.resolveQuerySet(querySet, 0, 2 * part.length, resolved, 0);
        device.queue.submit([encoder.finish()]);
        const times = new BigUint64Array(await readBuffer(gpu, resolved, 0, 16 * part.length));
        if (round === 0) continue;
        // A clock that was reset in between makes an end before its begin.
        for (let i = 0; i < part.length; i++)
          sums[from + i]! += Math.max(0, Number(times[2 * i + 1]! - times[2 * i]!));
      }
    }
    return list.map(({ label, block }, i) => ({ label, block, nanoseconds: sums[i]! / rounds }));
  } finally {
    querySet.destroy();
    resolved.destroy();
  }
}

/** Bytes a second that a plain copy of buffers moves, read and write both counted: the yardstick for achieved GB/s. */
export async function copyBandwidth(gpu: Gpu, bytes: number, rounds: number): Promise<number> {
  const { device } = gpu;
  const make = (): GPUBuffer =>
    device.createBuffer({
      label: 'copy',
      size: bytes,
      usage: GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
    });
  const buffers = [make(), make()] as const;
  const copy = async (times: number): Promise<number> => {
    const begun = performance.now();
    const encoder = device.createCommandEncoder();
    for (let i = 0; i < times; i++) encoder.copyBufferToBuffer(buffers[0], 0, buffers[1], 0, bytes);
    device.queue.submit([encoder.finish()]);
    await gpu.readBack.told(device.queue.onSubmittedWorkDone());
    return performance.now() - begun;
  };
  try {
    await copy(1);
    const ms = await copy(rounds);
    // On a lost device copies are done at once, and only a read-back fails.
    await readBuffer(gpu, buffers[1], 0, 4);
    return (2 * bytes * rounds * 1000) / ms;
  } finally {
    for (const buffer of buffers) buffer.destroy();
  }
}

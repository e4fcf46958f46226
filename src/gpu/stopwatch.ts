import { readBuffer } from './buffer.ts';
import type { Gpu } from './device.ts';

/** Shortest sample that the page's clock times, in milliseconds: the way to the GPU and back weighs little in it. */
const SAMPLE_MS = 25;
/** Shortest one that the GPU's own clock times. */
const SHORT_MS = 5;
/** Ticks of a clock that a sample takes at least: it is off by one at most. */
const TICKS = 50;
/** The tick of a clock that did not move between two looks at it: browsers round the GPU's to 0.1 ms. */
const UNSEEN_TICK_MS = 0.1;
/** Reads of the page's clock in which it has to move. */
const LOOKS = 20_000;
const PASSES = 16;

/** Times work of the GPU. */
export interface Stopwatch {
  /** What is timed has to take so many milliseconds. */
  readonly leastMs: number;
  /**
   * Milliseconds that a pass takes.
   * @param fill encodes it
   */
  time(fill: (pass: GPUComputePassEncoder) => void): Promise<number>;
}

/** Smallest step between times; undefined where all are one. */
export function tickOf(times: readonly number[]): number | undefined {
  const sorted = [...times].sort((a, b) => a - b);
  let least: number | undefined;
  for (let i = 1; i < sorted.length; i++) {
    const step = sorted[i]! - sorted[i - 1]!;
    if (step > 0 && (least === undefined || step < least)) least = step;
  }
  return least;
}

/** By the GPU's clock, which browsers may round; undefined where it stands still. */
async function byTimestamps(gpu: Gpu): Promise<Stopwatch | undefined> {
  const { device } = gpu;
  /** Milliseconds of passes. */
  const times = async (passes: readonly ((pass: GPUComputePassEncoder) => void)[]): Promise<number[]> => {
    const count = 2 * passes.length;
    const querySet = device.createQuerySet({ type: 'timestamp', count });
    const usage = GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC;
    const resolved = device.createBuffer({ label: 'timestamps', size: 8 * count, usage });
    try {
      const encoder = device.createCommandEncoder();
      for (const [i, fill] of passes.entries()) {
        const timestampWrites = {
          querySet,
          beginningOfPassWriteIndex: 2 * i,
          endOfPassWriteIndex: 2 * i + 1,
        };
        const pass = encoder.beginComputePass({ timestampWrites });
        fill(pass);
        pass.end();
      }
      encoder.resolveQuerySet(querySet, 0, count, resolved, 0);
      device.queue.submit([encoder.finish()]);
      return [...new BigUint64Array(await readBuffer(gpu, resolved))].map((time) => Number(time) / 1e6);
    } finally {
      querySet.destroy();
      resolved.destroy();
    }
  };
  const idle = await times(Array.from({ length: PASSES }, () => () => {}));
  if (idle.every((time) => time === 0)) return undefined;
  const tick = tickOf(idle) ?? UNSEEN_TICK_MS;
  return {
    leastMs: Math.max(SHORT_MS, TICKS * tick),
    async time(fill) {
      const [begun, ended] = await times([fill]);
      return ended! - begun!;
    },
  };
}

/** By the page's clock; undefined where it is coarse, or the word that work is done. */
async function byClock({ device, readBack }: Gpu): Promise<Stopwatch | undefined> {
  await readBack.measure();
  if (readBack.coarse) return undefined;
  const tick = tickOf(Array.from({ length: LOOKS }, () => performance.now()));
  if (tick === undefined || TICKS * tick > 4 * SAMPLE_MS) return undefined;
  return {
    leastMs: Math.max(SAMPLE_MS, TICKS * tick),
    async time(fill) {
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      fill(pass);
      pass.end();
      const commands = encoder.finish();
      const begun = performance.now();
      device.queue.submit([commands]);
      await device.queue.onSubmittedWorkDone();
      return performance.now() - begun;
    },
  };
}

/** What times work here: the GPU's clock where there is one that is fine enough, else the page's; undefined where both are coarse. */
export async function stopwatchOf(gpu: Gpu): Promise<Stopwatch | undefined> {
  const own = gpu.features.timestamps ? await byTimestamps(gpu) : undefined;
  return own && own.leastMs <= 4 * SAMPLE_MS ? own : byClock(gpu);
}

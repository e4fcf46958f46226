import type { Runner } from '../engine/runner.ts';
import { writeStep } from '../gpu/recorder.ts';
import { timeLaunches } from '../gpu/timestamps.ts';
import { ROW_BYTES, recordBlocks } from '../model/forward.ts';
import type { Plan } from '../model/spec.ts';

/** GPU time of a block's two halves, microseconds. */
export interface HalfTimes {
  /** What stands before the MLP: attention or a linear map, with its norm. */
  first: number;
  mlp: number;
}

/** Rounds that the times are means of: browsers round timestamps (Chrome: to 100 us). */
const ROUNDS = 16;

/**
 * GPU time of each block of a plan for one token at a position, by timestamp-query. K and V of what is before need not be
 * there: the time does not depend on what they are.
 * @returns by layer; undefined when the device has no timestamp-query
 */
export async function timeBlocks(
  { parts, ledger }: Runner,
  plan: Plan,
  position: number,
): Promise<Map<number, HalfTimes> | undefined> {
  const { gpu, scratch } = parts;
  const rows = ledger.storage('timed row', ROW_BYTES, 'scratch');
  try {
    gpu.device.queue.writeBuffer(rows, 0, new Uint32Array([0, 0, position, 0]));
    const step = { rows: 1, first: 0, count: 0, next: 0, context: position + 1 };
    writeStep(gpu, scratch.step, step);
    const dispatches = await recordBlocks(parts, plan, rows, 'one');
    const launches = await timeLaunches(gpu, dispatches, step, ROUNDS);
    if (!launches) return undefined;
    const times = new Map(plan.map(({ layer }) => [layer, { first: 0, mlp: 0, inMlp: false }]));
    for (const { label, block, nanoseconds } of launches) {
      const time = block === undefined ? undefined : times.get(block);
      if (!time) continue;
      // The MLP half begins with its norm or its first product, both labelled so.
      time.inMlp ||= label.startsWith('gate and up');
      time[time.inMlp ? 'mlp' : 'first'] += nanoseconds / 1000;
    }
    return new Map([...times].map(([layer, { first, mlp }]) => [layer, { first, mlp }]));
  } finally {
    ledger.release(rows);
  }
}

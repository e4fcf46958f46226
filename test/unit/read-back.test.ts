// How late the GPU's word comes is timed, and where a browser looks for it at times only, empty submits wake it; by a device and a
// clock on paper.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ReadBack } from '../../src/gpu/read-back.ts';
import '../support/paper-gpu.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

globalThis.GPUMapMode ??= { READ: 1, WRITE: 2 } as never;

/**
 * A device that is done `workMs` after a submit, and whose browser looks at it every `pollMs` (0: at once) and at each submit.
 * @returns `submits` tells the times of those of nothing
 */
function device({ workMs = 0, pollMs = 0 }) {
  const submits: number[] = [];
  const waiting: { from: number; resolve: () => void }[] = [];
  let busyUntil = 0;
  const look = (): void => {
    for (const one of waiting.splice(0))
      if (Date.now() >= one.from) one.resolve();
      else waiting.push(one);
  };
  if (pollMs > 0) setInterval(look, pollMs);
  const word = (): Promise<void> =>
    new Promise((resolve) => {
      waiting.push({ from: busyUntil, resolve });
      if (pollMs === 0) setTimeout(look, Math.max(0, busyUntil - Date.now()));
    });
  const queue = {
    submit(commands: unknown[]) {
      if (commands.length > 0) busyUntil = Math.max(busyUntil, Date.now()) + workMs;
      else submits.push(Date.now());
      look();
    },
    onSubmittedWorkDone: word,
  };
  const createCommandEncoder = () => ({ clearBuffer() {}, finish: () => ({}) });
  const createBuffer = () => ({ mapAsync: word, unmap() {}, destroy() {} });
  const fake = { queue, createCommandEncoder, createBuffer };
  return { fake: fake as unknown as GPUDevice, queue, submits, word };
}

async function measured(fake: GPUDevice): Promise<ReadBack> {
  const readBack = ReadBack.of(fake);
  const done = readBack.measure();
  await vi.advanceTimersByTimeAsync(2000);
  await done;
  return readBack;
}

test('a browser that tells at once is not coarse, and nothing is submitted while a map is pending', async () => {
  const { fake, queue, submits, word } = device({ workMs: 3 });
  const readBack = await measured(fake);
  expect(readBack).toMatchObject({ coarse: false, latencyMs: 3 });
  submits.length = 0;
  queue.submit([{}]);
  const read = readBack.told(word());
  await vi.advanceTimersByTimeAsync(50);
  await read;
  expect(submits).toEqual([]);
});

test('a browser that looks every 100 ms is coarse: empty submits follow until the map is there, and no longer', async () => {
  const { fake, queue, submits, word } = device({ workMs: 3, pollMs: 100 });
  const readBack = await measured(fake);
  expect(readBack.coarse).toBe(true);
  // As it is read from here on.
  expect(readBack.latencyMs).toBeLessThan(8);
  await vi.advanceTimersByTimeAsync(300);
  submits.length = 0;
  const begun = Date.now();
  queue.submit([{}]);
  let taken = 0;
  const both = [word(), word()].map((one) => readBack.told(one).then(() => (taken = Date.now() - begun)));
  await vi.advanceTimersByTimeAsync(90);
  await Promise.all(both);
  expect(taken).toBe(4);
  expect(submits.map((at) => at - begun)).toEqual([2, 4]);
  // What fails ends it too.
  submits.length = 0;
  const failed = readBack.told(Promise.reject(new Error('The device went.')));
  await expect(failed).rejects.toThrow('The device went.');
  await vi.advanceTimersByTimeAsync(90);
  expect(submits).toEqual([]);
});

test('it is measured once for a device, and a device that cannot be measured is as any other', async () => {
  const { fake, submits } = device({ workMs: 1 });
  expect(await measured(fake)).toBe(await measured(fake));
  expect(submits).toHaveLength(3);
  expect(await measured({} as GPUDevice)).toMatchObject({ coarse: false, latencyMs: 0 });
});

/** Bytes of a chunk of the cache: the unit of download, check and resume. */
export const CHUNK_BYTES = 2 << 20;
/** Chunks fetched beyond the one that is wanted. */
export const PREFETCHED_CHUNKS = 3;
/** Chunks that are fetched, hashed and written at once: a browser opens six connections to a server of HTTP/1.1. */
export const DOWNLOADS = 4;

/** Gives the memory of a buffer back at once, in engines that can: collectors let tens of megabytes of them pile up. */
export function free(buffer: ArrayBuffer & { transfer?(size: number): unknown }): void {
  buffer.transfer?.(0);
}

/** A limit of concurrent work: at most `most` calls run at once, the others wait in order. */
export function slots(most: number): <T>(work: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async (work) => {
    while (running >= most) await new Promise<void>((resolve) => waiting.push(resolve));
    running++;
    try {
      return await work();
    } finally {
      running--;
      waiting.shift()?.();
    }
  };
}

/** Concurrent reads: enough to keep a network busy. */
export const LANES = 3;

/**
 * Divides byte ranges among lanes: the lanes are read concurrently, the ranges of one lane in order.
 * @param contiguous each lane gets neighbouring ranges, about the same number of bytes; else the ranges are dealt in turn
 */
export function lanesOf<T extends { start: number; end: number }>(
  ranges: readonly T[],
  contiguous: boolean,
): T[][] {
  const lanes = Array.from({ length: Math.min(LANES, ranges.length) }, (): T[] => []);
  const total = ranges.reduce((sum, { start, end }) => sum + end - start, 0);
  let before = 0;
  ranges.forEach((range, i) => {
    const lane = Math.floor((lanes.length * before) / Math.max(1, total));
    lanes[contiguous ? Math.min(lane, lanes.length - 1) : i % lanes.length]!.push(range);
    before += range.end - range.start;
  });
  return lanes;
}

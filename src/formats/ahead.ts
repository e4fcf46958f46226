/** Bytes of a chunk of the cache: the unit of download, check and resume. */
export const CHUNK_BYTES = 2 << 20;
/** Chunks fetched ahead of the one that is wanted. */
export const CHUNKS_AHEAD = 3;
/** Chunks that are fetched, hashed and written at once: a browser opens six connections to a server of HTTP/1.1. */
export const DOWNLOADS = 4;

/** Gives the memory of a buffer back at once, in engines that can: collectors let tens of megabytes of them pile up. */
export function free(buffer: ArrayBuffer & { transfer?(size: number): unknown }): void {
  buffer.transfer?.(0);
}

/** Lets `most` pieces of work run at once; the others wait their turn. */
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

/** Reads that are under way at once: enough to keep a network busy. */
export const LANES = 3;

/**
 * Deals parts of files to lanes that are read at once. Where neighbours come in one stream, each lane gets a run of them, all
 * about as long; else the parts are read in their order.
 */
export function lanesOf<T extends { start: number; end: number }>(
  parts: readonly T[],
  inRuns: boolean,
): T[][] {
  const lanes = Array.from({ length: Math.min(LANES, parts.length) }, (): T[] => []);
  const total = parts.reduce((sum, { start, end }) => sum + end - start, 0);
  let before = 0;
  parts.forEach((part, i) => {
    const run = Math.floor((lanes.length * before) / Math.max(1, total));
    lanes[inRuns ? Math.min(run, lanes.length - 1) : i % lanes.length]!.push(part);
    before += part.end - part.start;
  });
  return lanes;
}

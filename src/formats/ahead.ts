/** Bytes of a chunk of the cache: the unit of download, check and resume. */
export const CHUNK_BYTES = 2 << 20;
/** Chunks fetched ahead of the one that is wanted. */
export const CHUNKS_AHEAD = 1;

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

/**
 * Runs `work` over items with up to `most` under way, and gives the results in the order of the items. When the reader stops,
 * or an item fails, the `signal` of those under way is raised.
 */
export async function* inFlight<T, R>(
  items: Iterable<T>,
  most: number,
  work: (item: T, signal: AbortSignal) => Promise<R>,
  signal?: AbortSignal,
): AsyncGenerator<[T, R]> {
  const own = new AbortController();
  const stop = (): void => own.abort(signal?.reason);
  signal?.addEventListener('abort', stop);
  if (signal?.aborted) stop();
  const flying: [T, Promise<R>][] = [];
  try {
    for (const item of items) {
      const running = work(item, own.signal);
      // Whoever gets there sees its error.
      running.catch(() => {});
      flying.push([item, running]);
      if (flying.length < most) continue;
      const [first, result] = flying.shift()!;
      yield [first, await result];
    }
    for (const [item, result] of flying) yield [item, await result];
  } finally {
    own.abort();
    signal?.removeEventListener('abort', stop);
  }
}

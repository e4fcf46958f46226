/**
 * Begins a stream, so that what is wrong with the request rejects here rather than in the loop. It can be ended also before
 * anything is read of it, which a generator's own loop would not notice.
 */
export async function begun<T>(
  pieces: AsyncGenerator<T, unknown, undefined>,
): Promise<AsyncIterableIterator<T>> {
  let first: IteratorResult<T, unknown> | undefined = await pieces.next();
  const iterator: AsyncIterableIterator<T> = {
    async next() {
      const next = first ?? (await pieces.next());
      first = undefined;
      return next as IteratorResult<T>;
    },
    async return() {
      first = undefined;
      await pieces.return(undefined);
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]: () => iterator,
  };
  return iterator;
}

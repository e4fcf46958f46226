/** What a stream yields, and what it returns. */
export async function collect<T, R>(
  stream: AsyncGenerator<T, R, undefined>,
): Promise<{ items: T[]; value: R }> {
  const items: T[] = [];
  let next = await stream.next();
  for (; !next.done; next = await stream.next()) items.push(next.value);
  return { items, value: next.value };
}

/** What a stream returns; what it yields is let go. */
export const resultOf = async <R>(stream: AsyncGenerator<unknown, R, undefined>): Promise<R> =>
  (await collect(stream)).value;

export async function itemsOf<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of stream) items.push(item);
  return items;
}

// The last results of the benchmark, kept by this browser.
import type { BenchResult } from '../../src/bench.ts';
import { openTable } from '../../src/formats/database.ts';

const TABLE = openTable('shishulm-bench', 'results');
const KEY = 'list';
const MOST = 20;

/** What is kept, the newest first. */
export async function keptResults(): Promise<BenchResult[]> {
  const list = await TABLE.get(KEY).catch(() => undefined);
  return Array.isArray(list) ? (list as BenchResult[]) : [];
}

// Where the browser keeps nothing, a result is gone with the page: it can be saved.
const put = (list: readonly BenchResult[]): Promise<void> =>
  TABLE.put(KEY, list.slice(0, MOST)).catch(() => {});

/** Keeps a result, in place of one that began at the same time. */
export async function keepResult(result: BenchResult): Promise<void> {
  await put([result, ...(await keptResults()).filter(({ date }) => date !== result.date)]);
}

/** Deletes the result that began at this time, or all. */
export async function forgetResults(date?: string): Promise<void> {
  await put(date === undefined ? [] : (await keptResults()).filter((result) => result.date !== date));
}

// Notes of loads in a worker, which has no localStorage: they outlive it.
import { expect, test } from 'vitest';
import { type CrashedLoad, CrashNotes } from '../../src/api/crash-notes.ts';

/** What a new worker knows of crashed loads after it began and ended these. */
async function visit(begin: string[], end: string[]): Promise<CrashedLoad[]> {
  const worker = new Worker(new URL('../support/crash-notes-worker.ts', import.meta.url), { type: 'module' });
  try {
    return await new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = reject;
      worker.postMessage({ begin, end });
    });
  } finally {
    worker.terminate();
  }
}

test('a load in a worker that was ended is told of by the next worker, and forgotten when it ends well', async () => {
  // Its own load runs: no crash yet.
  expect(await visit(['ended', 'well'], ['well'])).toEqual([]);
  await expect
    .poll(() => visit([], []))
    .toEqual([{ model: 'ended', dtype: 'q8', began: expect.any(Number) }]);
  expect(await visit(['ended'], ['ended'])).toEqual([]);
});

test("the page's own notes are in its localStorage, and go with the load", async () => {
  const end = await CrashNotes.here().begin('page', {});
  expect(localStorage.getItem('shishulm-loading')).toContain('"page"');
  expect(await CrashNotes.here().crashed()).toEqual([]);
  await end();
  expect(localStorage.getItem('shishulm-loading')).toBeNull();
});

// What is noted of a load while it runs, and what the next visit makes of it.
import { describe, expect, test, vi } from 'vitest';
import { type CrashNoteStore, CrashNotes, crashNoteName } from '../../src/api/crash-notes.ts';

/** Storage that outlives its page. */
function memory(): CrashNoteStore & { text: string | undefined } {
  const store = {
    text: undefined as string | undefined,
    read: () => store.text,
    write: (text: string) => {
      store.text = text || undefined;
    },
  };
  return store;
}

/** The locks of one browser; those of a page that went are let go. */
function browserLocks() {
  const held = new Map<string, number>();
  return (page: number) => ({
    page,
    locks: {
      request: async (name: string, run: () => Promise<void>) => {
        held.set(name, page);
        await run();
        held.delete(name);
      },
      query: async () => ({ held: [...held.keys()].map((name) => ({ name })) }),
    } as unknown as LockManager,
    crash() {
      for (const [name, owner] of held) if (owner === page) held.delete(name);
    },
  });
}

test('a load that ends leaves nothing; one whose tab went is told of, and forgotten when it is loaded well', async () => {
  const store = memory();
  const visit = browserLocks();
  const first = visit(1);
  const end = await new CrashNotes(store, first.locks).begin('a', { dtype: 'q8' });
  await end();
  expect(store.text).toBeUndefined();

  await new CrashNotes(store, first.locks).begin('a', { dtype: 'f32', contextLength: 2048 });
  first.crash();
  const second = new CrashNotes(store, visit(2).locks);
  const before = Date.now();
  const [crashed, ...others] = await second.crashed();
  expect(others).toEqual([]);
  expect(crashed).toEqual({ model: 'a', dtype: 'f32', contextLength: 2048, began: expect.any(Number) });
  expect(before - crashed!.began).toBeLessThan(60_000);

  const again = await second.begin('a', { dtype: 'q4' });
  await again();
  expect(await second.crashed()).toEqual([]);
});

test('a load that runs in another tab is no crash', async () => {
  const store = memory();
  const visit = browserLocks();
  const end = await new CrashNotes(store, visit(1).locks).begin('a', {});
  expect(await new CrashNotes(store, visit(2).locks).crashed()).toEqual([]);
  await end();
});

test('a load that begins or ends while another tab looks is no crash', async () => {
  const store = memory();
  const visit = browserLocks();
  const loader = new CrashNotes(store, visit(1).locks);
  const { locks } = visit(2);
  const nothing = async (): Promise<void> => {};
  const looking = (before: () => Promise<void>, after: () => Promise<void>): Promise<unknown[]> => {
    const query = async (): Promise<LockManagerSnapshot> => {
      await before();
      const found = await locks.query();
      await after();
      return found;
    };
    return new CrashNotes(store, { query } as LockManager).crashed();
  };
  let end = nothing;
  const begin = async (): Promise<void> => {
    end = await loader.begin('a', {});
  };
  expect(await looking(nothing, begin)).toEqual([]);
  expect(store.text).toContain('"a"');
  expect(await looking(() => end(), nothing)).toEqual([]);
  expect(store.text).toBeUndefined();
});

test('a reader who leaves while a model loads is no crash', async () => {
  const listeners = new Map<string, () => void>();
  vi.stubGlobal('addEventListener', (type: string, listener: () => void) => listeners.set(type, listener));
  vi.stubGlobal('removeEventListener', (type: string) => listeners.delete(type));
  const store = memory();
  await new CrashNotes(store, browserLocks()(1).locks).begin('a', {});
  expect(store.text).toContain('"a"');
  listeners.get('pagehide')!();
  await vi.waitFor(() => expect(store.text).toBeUndefined());
  expect(listeners.size).toBe(0);
  vi.unstubAllGlobals();
});

test('models are told apart, the latest first, and only so many are kept', async () => {
  const store = memory();
  const visit = browserLocks();
  vi.useFakeTimers();
  for (let i = 0; i < 30; i++) {
    const page = visit(i);
    vi.setSystemTime(1000 + i);
    await new CrashNotes(store, page.locks).begin(`model ${i}`, {});
    page.crash();
  }
  vi.useRealTimers();
  const crashNotes = new CrashNotes(store, visit(99).locks);
  const crashed = await crashNotes.crashed();
  expect(crashed.length).toBe(20);
  expect(crashed[0]).toEqual({ model: 'model 29', began: 1029 });
  await crashNotes.forget('model 29');
  expect((await crashNotes.crashed())[0]!.model).toBe('model 28');
  await crashNotes.forget();
  expect(await crashNotes.crashed()).toEqual([]);
});

describe('storage that does not work', () => {
  const broken: [string, CrashNoteStore | undefined][] = [
    ['none', undefined],
    [
      'blocked',
      { read: () => Promise.reject(new Error('blocked')), write: () => Promise.reject(new Error('blocked')) },
    ],
    [
      'full',
      { read: () => undefined, write: () => Promise.reject(new DOMException('full', 'QuotaExceededError')) },
    ],
    ['damaged', { read: () => '{"a": 7, "b": {"model": 3}, "c"', write: () => {} }],
    ['of something else', { read: () => '[null, {"model": 3}]', write: () => {} }],
  ];
  test.each(broken)('%s: loads go on, and nothing is told', async (_, store) => {
    const crashNotes = new CrashNotes(store);
    const end = await crashNotes.begin('a', {});
    expect(await crashNotes.crashed()).toEqual([]);
    await end();
    await crashNotes.forget();
  });
});

test('models have names by which the next visit knows them', () => {
  expect(crashNoteName('owner/name@main')).toBe('owner/name@main');
  expect(crashNoteName('https://example.org/m/')).toBe('https://example.org/m/');
  expect(crashNoteName(new URL('https://example.org/m'))).toBe('https://example.org/m');
  expect(crashNoteName({ name: 'folder', read: () => undefined })).toBe('folder');
  const file = Object.defineProperty(new File([], 'config.json'), 'webkitRelativePath', {
    value: 'tiny/config.json',
  });
  expect(crashNoteName([file])).toBe('tiny');
  expect(crashNoteName([])).toBe('files');
});

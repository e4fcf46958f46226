import type { LoadOptions } from '../engine/types.ts';
import { openTable } from '../formats/database.ts';
import { isHubId } from '../formats/hub.ts';
import type { SourceLike } from '../formats/open-source.ts';

/** What a model is loaded with, as far as memory goes; what was left to its default is absent. */
export type CrashNoteOptions = Pick<LoadOptions, 'dtype' | 'kv' | 'contextLength' | 'batch'>;

/** A load that never ended: the tab went while the model was loading, most often for lack of memory. */
export interface CrashedLoad extends CrashNoteOptions {
  /** Address or name of the model. */
  model: string;
  /** When it began, in milliseconds since 1970. */
  began: number;
}

/** Where one text is kept between visits. */
export interface CrashNoteStore {
  read(): Promise<string | undefined> | string | undefined;
  write(text: string): Promise<void> | void;
}

interface CrashNote extends CrashedLoad {
  /** Names the lock that its load holds. */
  id: string;
}

const KEY = 'shishulm-loading';
/** Notes kept; of more, the oldest go. */
const MOST = 20;

/** The page's localStorage; in a worker, which has none, a database. */
function storeHere(): CrashNoteStore | undefined {
  // Newer Nodes have storage too, which is not of a visit.
  if ('document' in globalThis)
    return {
      read: () => localStorage.getItem(KEY) ?? undefined,
      write: (text) => (text ? localStorage.setItem(KEY, text) : localStorage.removeItem(KEY)),
    };
  return 'WorkerGlobalScope' in globalThis ? databaseStore() : undefined;
}

function databaseStore(): CrashNoteStore {
  const table = openTable(KEY, KEY);
  return {
    read: async () => (await table.get(KEY)) as string | undefined,
    write: (text) => table.put(KEY, text),
  };
}

/** What a source is called in notes. */
export function crashNoteName(source: SourceLike): string {
  if (typeof source === 'string' && isHubId(source)) return source;
  if (typeof source === 'string' || source instanceof URL) {
    const page = globalThis.location?.href;
    return URL.canParse(source, page) ? new URL(source, page).href : String(source);
  }
  if ('name' in source && source.name !== undefined) return source.name;
  const [first] =
    'length' in source || Symbol.iterator in source ? Array.from(source as ArrayLike<File>) : [];
  return first?.webkitRelativePath?.split('/')[0] || 'files';
}

/** Keeps note of loads that are under way. Where nothing can be kept, it does nothing: a load never fails for it. */
export class CrashNotes {
  readonly #store: CrashNoteStore | undefined;
  readonly #locks: LockManager | undefined;

  constructor(store?: CrashNoteStore, locks: LockManager | undefined = globalThis.navigator?.locks) {
    this.#store = store;
    this.#locks = locks;
  }

  /** Of this page or worker. */
  static here(): CrashNotes {
    try {
      return new CrashNotes(storeHere());
    } catch {
      // Storage is blocked.
      return new CrashNotes();
    }
  }

  /** Loads of before that never ended, the latest first; those that run in other tabs are not among them. */
  async crashed(): Promise<CrashedLoad[]> {
    try {
      // A load holds its lock for as long as it is noted. So what was noted before the locks were looked at, is noted still
      // and is not among them, has lost its tab: it neither began nor ended meanwhile.
      const before = new Set(Object.values(await this.#read()).map(({ id }) => id));
      const { held = [], pending = [] } = (await this.#locks?.query()) ?? {};
      const running = new Set([...held, ...pending].map(({ name }) => name));
      return Object.values(await this.#read())
        .filter(({ id }) => before.has(id) && !running.has(lockName(id)))
        .sort((a, b) => b.began - a.began)
        .map(({ id: _, ...load }) => load);
    } catch {
      return [];
    }
  }

  /** Forgets what is noted of a model, or of all. */
  async forget(model?: string): Promise<void> {
    try {
      const all = await this.#read();
      if (model === undefined) await this.#store?.write('');
      else if (all[model]) {
        delete all[model];
        await this.#store?.write(Object.keys(all).length > 0 ? JSON.stringify(all) : '');
      }
    } catch {
      // Nothing is kept here.
    }
  }

  /** Notes that a load begins; the result takes the note away, and is to be called however the load ends. */
  async begin(
    model: string,
    { dtype, kv, contextLength, batch }: CrashNoteOptions,
  ): Promise<() => Promise<void>> {
    if (!this.#store) return async () => {};
    const id = `${Date.now()}-${Math.random()}`;
    let release = (): void => {};
    const end = async (): Promise<void> => {
      globalThis.removeEventListener?.('pagehide', end);
      await this.forget(model);
      release();
    };
    try {
      await new Promise<void>((granted) => {
        const held = new Promise<void>((resolve) => {
          release = resolve;
        });
        const request = this.#locks?.request(lockName(id), () => {
          granted();
          return held;
        });
        // Without locks, loads of other tabs look like crashes.
        Promise.resolve(request).then(granted, granted);
      });
      const asked = JSON.parse(JSON.stringify({ dtype, kv, contextLength, batch })) as CrashNoteOptions;
      const note: CrashNote = { model, ...asked, began: Date.now(), id };
      const { [model]: _, ...others } = await this.#read();
      const kept = Object.values(others)
        .sort((a, b) => b.began - a.began)
        .slice(0, MOST - 1);
      const all = Object.fromEntries([...kept, note].map((one) => [one.model, one]));
      await this.#store.write(JSON.stringify(all));
      // A reader who leaves is no crash.
      globalThis.addEventListener?.('pagehide', end);
    } catch {
      // Full or blocked.
    }
    return end;
  }

  async #read(): Promise<Record<string, CrashNote>> {
    const text = await this.#store?.read();
    try {
      const all: unknown = JSON.parse(text || '{}');
      const sane = ([, note]: [string, Partial<CrashNote> | null]): boolean =>
        typeof note?.model === 'string' && typeof note.began === 'number' && typeof note.id === 'string';
      return Object.fromEntries(Object.entries(all as Record<string, CrashNote>).filter(sane));
    } catch {
      return {};
    }
  }
}

const lockName = (id: string): string => `${KEY}/${id}`;

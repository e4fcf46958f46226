/** One prompt and its reply. In `continue` mode the reply goes on from the prompt as one text. */
export interface Exchange {
  mode: 'chat' | 'continue';
  prompt: string;
  reply: string;
  /** What the model thought before the reply, and how long. */
  reasoning?: string;
  reasoningSeconds?: number;
  /** Why the reply ended; absent while it is being written. */
  ended?: 'stop' | 'length' | 'aborted';
}

/** What a reload needs to load the same model; files from disk have to be chosen again. */
export type SavedChoice =
  | { kind: 'included'; id: string }
  | { kind: 'url'; url: string }
  | { kind: 'folder'; name: string };

/** What the page keeps through a reload of its tab. */
export interface Saved {
  exchanges: Exchange[];
  draft: string;
  choice?: SavedChoice;
  dtype?: string;
  settings?: Record<string, string>;
}

const KEY = 'shishulm-chat';

export function restore(): Saved {
  const empty: Saved = { exchanges: [], draft: '' };
  try {
    const saved: Partial<Saved> | null = JSON.parse(sessionStorage.getItem(KEY) ?? 'null');
    return Array.isArray(saved?.exchanges) ? { ...empty, ...saved } : empty;
  } catch {
    // Storage may be blocked, or hold what an older page wrote.
    return empty;
  }
}

export function save(state: Saved): void {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(state));
  } catch {
    // Blocked or full: the page works, and a reload starts anew.
  }
}

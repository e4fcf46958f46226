import type { Conversation } from './conversation.ts';
import { conversationOf } from './transfer.ts';

/** What a later visit needs to load the same model; files from disk have to be chosen again. */
export type SavedChoice =
  | { kind: 'included'; id: string }
  | { kind: 'url'; url: string }
  | { kind: 'folder'; name: string };

/** The model that was chosen last, for later visits. */
export interface SavedModel {
  choice?: SavedChoice;
  dtype?: string;
}

const MODEL = 'shishulm-model';
const TAB = 'shishulm-tab';

/** Storage may be blocked or full, and hold what an older page wrote. */
function read(storage: () => Storage, key: string): unknown {
  try {
    return JSON.parse(storage().getItem(key) ?? 'null');
  } catch {
    return null;
  }
}

function write(storage: () => Storage, key: string, value: unknown): void {
  try {
    storage().setItem(key, JSON.stringify(value));
  } catch {
    // The page works without.
  }
}

export const savedModel = (): SavedModel => (read(() => localStorage, MODEL) as SavedModel | null) ?? {};
export const saveModel = (model: SavedModel): void => write(() => localStorage, MODEL, model);

/** The conversation that this tab had open, as it was when the tab was left. */
export const conversationOfTab = (): Conversation | undefined =>
  conversationOf(read(() => sessionStorage, TAB));
export const saveTab = (conversation: Conversation): void => write(() => sessionStorage, TAB, conversation);

import { openTable } from '../../src/formats/database.ts';
import { type Conversation, matches } from './conversation.ts';
import { conversationOf } from './transfer.ts';

const NAME = 'shishulm-chats';

/** The conversations of this browser, in IndexedDB; tabs tell each other what they changed. */
export class Library {
  readonly #table = openTable(NAME, 'conversations');
  readonly #all = new Map<string, Conversation>();
  readonly #others = new BroadcastChannel(NAME);
  readonly #failed: (error: unknown) => void;
  /** Writes come one behind the other, so that a later one is never overtaken. */
  #writing: Promise<unknown> = Promise.resolve();

  /**
   * @param changed told of the id of a conversation that another tab wrote or removed
   * @param failed told of a write that the browser refused
   */
  constructor(changed: (id: string) => void, failed: (error: unknown) => void) {
    this.#failed = failed;
    this.#others.onmessage = async ({ data: id }) => {
      const written = conversationOf(await this.#table.get(id).catch(() => undefined));
      if (written) this.#all.set(id, written);
      else this.#all.delete(id);
      changed(id);
    };
  }

  /** Reads what is kept; none where the browser keeps nothing. */
  async open(): Promise<void> {
    for (const value of await this.#table.all().catch(() => [])) {
      const conversation = conversationOf(value);
      if (conversation) this.#all.set(conversation.id, conversation);
    }
  }

  get(id: string): Conversation | undefined {
    return this.#all.get(id);
  }

  /** Those that a search finds, the latest first. */
  list(search = ''): Conversation[] {
    return [...this.#all.values()]
      .filter((conversation) => matches(conversation, search))
      .sort((a, b) => b.updated - a.updated);
  }

  /** Keeps a conversation as it is now. One in which nothing was written yet is none. */
  save(conversation: Conversation): void {
    const { id, messages } = conversation;
    if (messages.length === 0 && !this.#all.has(id)) return;
    this.#all.set(id, conversation);
    this.#write(id, () => this.#table.put(id, structuredClone(conversation)));
  }

  remove(id: string): void {
    this.#all.delete(id);
    this.#write(id, () => this.#table.remove(id));
  }

  #write(id: string, write: () => Promise<void>): void {
    this.#writing = this.#writing
      .then(write)
      .then(() => this.#others.postMessage(id))
      .catch(this.#failed);
  }
}

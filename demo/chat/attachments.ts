import { text } from '../text/index.ts';
import type { Attached } from './conversation.ts';
import { byId, el } from './dom.ts';
import { bytes } from './format.ts';
import { plainName } from './names.ts';
import { showNote } from './notices.ts';

/** Most bytes of a file that goes along with a message. */
const MOST_BYTES = 256 * 1024;

/** Text files that go along with the next message. */
export class Attachments {
  files: Attached[] = [];
  readonly #list = byId('attachments', HTMLUListElement);
  readonly #changed: () => void;

  constructor(changed: () => void) {
    this.#changed = changed;
    const input = byId('attach-input', HTMLInputElement);
    byId('attach', HTMLButtonElement).addEventListener('click', () => input.click());
    input.addEventListener('change', () => {
      const files = [...(input.files ?? [])];
      input.value = '';
      void this.add(files);
    });
  }

  /** Takes files of text; what is none, or too long, is said. */
  async add(files: readonly File[]): Promise<void> {
    for (const file of files) {
      const name = plainName(file.name);
      if (file.size > MOST_BYTES) {
        showNote(text.fileTooLarge(name, bytes(MOST_BYTES)));
        continue;
      }
      const content = textOf(new Uint8Array(await file.arrayBuffer()));
      if (content === undefined) showNote(text.noTextFile(name));
      else this.files.push({ name, text: content });
    }
    this.draw();
  }

  /** Gives the files away. */
  take(): Attached[] {
    const { files } = this;
    this.files = [];
    this.draw();
    return files;
  }

  draw(): void {
    this.#list.hidden = this.files.length === 0;
    this.#list.replaceChildren(
      ...this.files.map((file) =>
        el(
          'li',
          {},
          el('span', { dir: 'auto' }, file.name),
          el(
            'button',
            {
              type: 'button',
              class: 'quiet icon',
              'aria-label': text.removeFile(file.name),
              click: () => {
                this.files = this.files.filter((other) => other !== file);
                this.draw();
                byId('attach', HTMLButtonElement).focus();
              },
            },
            '✕',
          ),
        ),
      ),
    );
    this.#changed();
  }
}

/** Bytes as a text; undefined where they are none. */
function textOf(content: Uint8Array): string | undefined {
  try {
    const found = new TextDecoder('utf-8', { fatal: true }).decode(content);
    return found.includes('\0') ? undefined : found;
  } catch {
    return undefined;
  }
}

import type { SourceLike } from '../../src/formats/open-source.ts';
import { addressOf } from '../hub.ts';
import { byId, el } from './dom.ts';
import { listenForDrops } from './drop.ts';
import type { SavedChoice } from './store.ts';

/** A model that the reader chose. */
export interface ModelChoice {
  label: string;
  description?: string;
  source: SourceLike;
  /** How a reload finds it again. */
  saved: SavedChoice;
  /** False: the model's folder holds no analysis, so that there is no need to ask for one. */
  analysed?: boolean;
  /** Prompts that suit the model. */
  openers: readonly string[];
}

/** A row of `models/models.json`: a model that is served with the page. `url` is relative to that file. */
interface Included {
  id: string;
  name: string;
  url: string;
  description?: string;
  openers?: string[];
  /** There is an `analysis.json` beside the weights. */
  analysed?: boolean;
}

const LIST = new URL('models/models.json', document.baseURI);

/** The models that are served with the page; none when there is no list. @throws SyntaxError when it is not JSON. */
export async function includedModels(): Promise<ModelChoice[]> {
  const response = await fetch(LIST).catch(() => undefined);
  // A server of one-page apps answers a missing file with a page.
  if (!response?.ok || response.headers.get('Content-Type')?.startsWith('text/html')) return [];
  const rows: Included[] = await response.json();
  return rows.map(({ id, name, url, description = '', openers = [], analysed = false }) => ({
    label: name,
    description,
    source: new URL(url, LIST).href,
    saved: { kind: 'included', id },
    openers,
    analysed,
  }));
}

/** Wires the model panel: the included models, a folder by picker or by drop, an address. */
export function wirePicker(
  included: readonly ModelChoice[],
  choose: (choice: ModelChoice) => void,
  fail: (error: unknown) => void,
): void {
  const panel = byId('model-panel', HTMLDetailsElement);
  const take = (choice: ModelChoice): void => {
    panel.open = false;
    choose(choice);
  };
  wireIncluded(included, take);
  wireFolder(take);
  wireFile(take);
  wireUrl(take, fail);
  listenForDrops((name, source) => take(fromDisk(name, source)), fail);
}

/** Marks the chosen one of the included models, and names the model in the header. */
export function showChosen(choice: ModelChoice | undefined): void {
  byId('model-name', HTMLSpanElement).textContent = choice?.label ?? 'none';
  for (const button of byId('included-list', HTMLDivElement).querySelectorAll('button'))
    button.setAttribute(
      'aria-pressed',
      String(choice?.saved.kind === 'included' && button.dataset.id === choice.saved.id),
    );
}

/** @throws ShishuError `bad-argument` for what is neither a name of a hub nor an address */
export function fromUrl(text: string): ModelChoice {
  const { source, label } = addressOf(text);
  return { label, source, saved: { kind: 'url', url: source }, openers: [] };
}

function fromDisk(name: string, source: SourceLike): ModelChoice {
  return { label: name, source, saved: { kind: 'folder', name }, openers: [] };
}

function wireIncluded(included: readonly ModelChoice[], take: (choice: ModelChoice) => void): void {
  byId('included', HTMLElement).hidden = included.length === 0;
  byId('included-list', HTMLDivElement).replaceChildren(
    ...included.map((choice) => {
      const id = choice.saved.kind === 'included' ? choice.saved.id : '';
      const about = el('small', {}, choice.description ?? '');
      return el(
        'button',
        { type: 'button', dir: 'auto', 'data-id': id, click: () => take(choice) },
        choice.label,
        about,
      );
    }),
  );
}

/** Wires #pick-folder and #folder-input. */
export function wireFolder(take: (choice: ModelChoice) => void): void {
  const input = byId('folder-input', HTMLInputElement);
  byId('pick-folder', HTMLButtonElement).addEventListener('click', async () => {
    if (!('showDirectoryPicker' in window)) return input.click();
    const pick = window.showDirectoryPicker as () => Promise<FileSystemDirectoryHandle>;
    // Rejects when the reader closes the dialog.
    const folder = await pick().catch(() => undefined);
    if (folder) take(fromDisk(folder.name, folder));
  });
  input.addEventListener('change', () => {
    const files = [...(input.files ?? [])];
    // So that choosing the same folder again is a change.
    input.value = '';
    if (files.length === 0) return;
    take(fromDisk(files[0]!.webkitRelativePath.split('/')[0] || 'files', files));
  });
}

/** Wires #pick-file and #file-input; a model in several GGUF files needs all of them. */
function wireFile(take: (choice: ModelChoice) => void): void {
  const input = byId('file-input', HTMLInputElement);
  byId('pick-file', HTMLButtonElement).addEventListener('click', () => input.click());
  input.addEventListener('change', () => {
    const files = [...(input.files ?? [])];
    input.value = '';
    if (files.length > 0) take(fromDisk(files[0]!.name, files));
  });
}

function wireUrl(take: (choice: ModelChoice) => void, fail: (error: unknown) => void): void {
  byId('url-form', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    try {
      take(fromUrl(byId('url', HTMLInputElement).value));
    } catch (error) {
      fail(error);
    }
  });
}

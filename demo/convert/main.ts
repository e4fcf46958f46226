import { Peer } from '../../src/api/rpc.ts';
import { toTransferable } from '../../src/api/transferable.ts';
import { writeHandle } from '../../src/convert/handle-folder.ts';
import type { ConvertReport } from '../../src/convert/report.ts';
import { ShishuError } from '../../src/errors.ts';
import type { ProfileOption } from '../../src/gpu/profile.ts';
import { announce, byId, el } from '../chat/dom.ts';
import { attempt, showError, showNote } from '../chat/notices.ts';
import { includedModels } from '../chat/picker.ts';
import { showNoWebGpu, whyNoWebGpu } from '../chat/support.ts';
import { hubOfPage } from '../hub.ts';
import { showPages } from '../nav.ts';
import { pageLink, startPage } from '../profile.ts';
import { chooseFolder, download } from '../save.ts';
import { filesOf, removeSavedModel, savedModelId, savedModels } from '../saved-models.ts';
import { ChildForm, ParentForm } from './form.ts';
import { showAnalysis, showConverted } from './report.ts';
import type { Analysed, Tell } from './worker.ts';

const chatLink = (name: string): string =>
  `${pageLink('index.html')}#${new URLSearchParams({ model: savedModelId(name) }).toString()}`;

class Page {
  readonly #parents: ParentForm;
  readonly #profile: ProfileOption;
  readonly #children = new ChildForm();
  readonly #loading = byId('loading', HTMLDivElement);
  readonly #bar = byId('progress', HTMLProgressElement);
  readonly #text = byId('progress-text', HTMLSpanElement);
  readonly #report = byId('report', HTMLElement);
  readonly #result = byId('result', HTMLElement);
  readonly #buttons = [byId('run', HTMLButtonElement), byId('convert', HTMLButtonElement)];
  #connection: Peer | undefined;
  #abort: AbortController | undefined;
  /** The model that was analysed last. */
  #found: { label: string; analysed: Analysed } | undefined;

  constructor(parents: ParentForm, profile: ProfileOption) {
    this.#parents = parents;
    this.#profile = profile;
    const onSubmit = (id: string, run: () => Promise<void>): void =>
      byId(id, HTMLFormElement).addEventListener('submit', (event) => {
        event.preventDefault();
        void this.#guard(run);
      });
    onSubmit('settings', () => this.#analyse());
    onSubmit('conversion', () => this.#convert());
    byId('cancel', HTMLButtonElement).addEventListener('click', () => {
      this.#abort?.abort();
      this.#text.textContent = 'Cancelling…';
    });
    // The plots take their colours when they are drawn.
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#show());
    void this.#guard(() => this.#showMade());
  }

  async #guard(run: () => Promise<void>): Promise<void> {
    if (!this.#abort) await attempt(run);
  }

  #peer(): Peer {
    if (this.#connection && !this.#connection.closed) return this.#connection;
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
    const peer = new Peer(worker, {}, () => worker.terminate());
    worker.addEventListener('error', ({ message }) =>
      peer.close(new ShishuError('io', `The worker stopped: ${message ?? 'its script did not load'}.`)),
    );
    this.#connection = peer;
    return peer;
  }

  /** Runs a call of the worker with the bar and the way out; undefined when it was cancelled. */
  async #call<T>(first: string, method: string, ...args: unknown[]): Promise<T | undefined> {
    const abort = new AbortController();
    this.#abort = abort;
    for (const button of this.#buttons) button.disabled = true;
    this.#loading.hidden = false;
    const tell: Tell = (what, done, total) => {
      if (abort.signal.aborted) return;
      this.#text.textContent = total > 0 ? `${what} (${Math.floor((100 * done) / total)} %)` : `${what}…`;
      if (total > 0) {
        this.#bar.max = total;
        this.#bar.value = done;
      } else this.#bar.removeAttribute('value');
    };
    tell(first, 0, 0);
    try {
      return await this.#peer().call<T>(method, ...args, tell, abort.signal);
    } catch (error) {
      if (!abort.signal.aborted) throw error;
      announce('Cancelled.');
      return undefined;
    } finally {
      this.#abort = undefined;
      for (const button of this.#buttons) button.disabled = false;
      this.#loading.hidden = true;
    }
  }

  async #analyse(): Promise<void> {
    const { parent, text } = this.#parents.read();
    this.#found = undefined;
    this.#report.hidden = true;
    this.#result.hidden = true;
    this.#children.hide();
    const source = toTransferable(parent.source);
    const how = { profile: this.#profile, hub: hubOfPage() };
    const analysed = await this.#call<Analysed>('Opening the parent', 'analyse', source, text, how);
    if (!analysed) return;
    this.#found = { label: parent.label, analysed };
    this.#show();
    this.#children.show(parent.label, analysed.layers);
    announce('The analysis is done.');
    this.#report.scrollIntoView({ block: 'start' });
  }

  #show(): void {
    if (this.#found) showAnalysis(this.#report, this.#found.label, this.#found.analysed);
  }

  async #convert(): Promise<void> {
    if (!this.#found) return;
    const taken = (await savedModels().catch(() => [])).map(({ name }) => name);
    const { name, options } = this.#children.read(taken);
    this.#result.hidden = true;
    let report: ConvertReport | undefined;
    try {
      report = await this.#call<ConvertReport>('Converting', 'convert', name, options);
    } catch (error) {
      if (error instanceof ShishuError) {
        const field = error.details.field ?? ('rank' in error.details ? 'rank' : undefined);
        if (field) this.#children.mark(String(field));
      }
      throw error;
    }
    if (!report) return;
    showConverted(this.#result, name, report, this.#actions(name));
    await this.#showMade();
    announce(`${name} is made.`);
    this.#result.scrollIntoView({ block: 'nearest' });
  }

  async #filesOf(name: string): Promise<File[]> {
    const folder = (await savedModels()).find((folder) => folder.name === name);
    if (!folder)
      throw new ShishuError('not-found', `${name} is not here any more.`, { details: { folder: name } });
    return filesOf(folder);
  }

  #actions(name: string): HTMLElement[] {
    const button = (label: string, id: string, run: () => Promise<void>): HTMLElement =>
      el('button', { type: 'button', id, click: () => void this.#guard(run) }, label);
    const saveToFolder = async (): Promise<void> => {
      const folder = await chooseFolder();
      if (!folder) return;
      const own = await folder.getDirectoryHandle(name, { create: true });
      for (const file of await this.#filesOf(name)) await writeHandle(own, file.name, file);
      showNote(`Saved as the folder ${name} in ${folder.name}.`);
    };
    const saveFiles = async (): Promise<void> => {
      const files = await this.#filesOf(name);
      await download(files);
      showNote(`Saved the ${files.length} files of ${name}: put them into one folder.`);
    };
    return [
      el('a', { href: chatLink(name), id: 'chat-with-it' }, 'Chat with it'),
      ...('showDirectoryPicker' in window ? [button('Save to a folder…', 'save-folder', saveToFolder)] : []),
      button('Download the files', 'save-files', saveFiles),
    ];
  }

  async #showMade(): Promise<void> {
    const models = await savedModels();
    byId('made', HTMLElement).hidden = models.length === 0;
    byId('made-list', HTMLUListElement).replaceChildren(
      ...models.map(({ name }) => {
        const remove = async (): Promise<void> => {
          await removeSavedModel(name);
          await this.#showMade();
          announce(`${name} is removed.`);
        };
        const click = (): void => void this.#guard(remove);
        return el(
          'li',
          {},
          el('a', { href: chatLink(name), dir: 'auto' }, name),
          el('button', { type: 'button', class: 'quiet', 'aria-label': `Remove ${name}`, click }, 'Remove'),
        );
      }),
    );
  }
}

showPages(byId('pages', HTMLElement));
await startPage(async (profile) => {
  const why = await whyNoWebGpu();
  if (why) {
    byId('settings', HTMLFormElement).hidden = true;
    await showNoWebGpu(why);
    return;
  }
  const included = await includedModels().catch(() => []);
  const parents = included.filter(({ saved }) => saved.kind === 'included' && saved.id !== 'child');
  new Page(new ParentForm(parents, showError), profile);
});

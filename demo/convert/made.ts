// What this browser holds of conversions: models that were made, and those that are not finished.

import { writeHandle } from '../../src/convert/handle-folder.ts';
import { type ConvertReport, REPORT_FILE } from '../../src/convert/report.ts';
import { PROGRESS_FILE } from '../../src/convert/staged.ts';
import { ShishuError } from '../../src/errors.ts';
import { announce, byId, el } from '../chat/dom.ts';
import { showNote } from '../chat/notices.ts';
import { pageLink } from '../profile.ts';
import { chooseFolder, download } from '../save.ts';
import { filesOf, madeFolders, removeSavedModel, savedModelId, savedModels } from '../saved-models.ts';
import { type Begun, begunConversions, forgetBegun } from './kept.ts';

const chatLink = (name: string): string =>
  `${pageLink('index.html')}#${new URLSearchParams({ model: savedModelId(name) }).toString()}`;

/** The folder of a model that was made here. @throws ShishuError `not-found` */
export async function madeFolder(name: string): Promise<FileSystemDirectoryHandle> {
  const folder = (await savedModels()).find((folder) => folder.name === name);
  if (folder) return folder;
  throw new ShishuError('not-found', `${name} is not here any more.`, { details: { folder: name } });
}

export async function madeReport(name: string): Promise<ConvertReport> {
  const file = await (await madeFolder(name)).getFileHandle(REPORT_FILE);
  return JSON.parse(await (await file.getFile()).text()) as ConvertReport;
}

/** Links and buttons to take a model away. @param guard runs a command of the page, and shows what is wrong with it */
export function takeAway(name: string, guard: (run: () => Promise<void>) => void): HTMLElement[] {
  const button = (label: string, id: string, run: () => Promise<void>): HTMLElement =>
    el('button', { type: 'button', id, click: () => guard(run) }, label);
  const saveToFolder = async (): Promise<void> => {
    const folder = await chooseFolder();
    if (!folder) return;
    const own = await folder.getDirectoryHandle(name, { create: true });
    for (const [path, file] of await filesOf(await madeFolder(name))) await writeHandle(own, path, file);
    showNote(`Saved as the folder ${name} in ${folder.name}.`);
  };
  const saveFiles = async (): Promise<void> => {
    const files = await filesOf(await madeFolder(name));
    await download([...files.values()]);
    // A download has no folder.
    const inside = [...files.keys()].filter((path) => path.includes('/'));
    const places = inside.length > 0 ? `, in which they are called ${inside.join(', ')}` : '';
    showNote(`Saved the ${files.size} files of ${name}: put them into one folder${places}.`);
  };
  return [
    el('a', { href: chatLink(name), id: 'chat-with-it' }, 'Chat with it'),
    ...('showDirectoryPicker' in window ? [button('Save to a folder…', 'save-folder', saveToFolder)] : []),
    button('Download the files', 'save-files', saveFiles),
  ];
}

/** What is done with a row of the lists. */
export interface MadeEvents {
  show(name: string): Promise<void>;
  goOn(begun: Begun): Promise<void>;
  guard(run: () => Promise<void>): void;
}

/** Lists what is there now. @param busy the folder that this page is writing, which is in neither list */
export async function showMade(events: MadeEvents, busy?: string): Promise<void> {
  const folders = (await madeFolders().catch(() => [])).filter(({ folder }) => folder.name !== busy);
  const begun = await begunConversions();
  const row = (name: string, ...parts: HTMLElement[]): HTMLElement => {
    const remove = async (): Promise<void> => {
      await removeSavedModel(name);
      await forgetBegun(name);
      await showMade(events, busy);
      announce(`${name} is removed.`);
    };
    const click = (): void => events.guard(remove);
    const label = `Remove ${name}`;
    return el(
      'li',
      {},
      ...parts,
      el('button', { type: 'button', class: 'quiet', 'aria-label': label, click }, 'Remove'),
    );
  };
  const button = (text: string, label: string, run: () => Promise<void>): HTMLElement =>
    el('button', { type: 'button', 'aria-label': label, click: () => events.guard(run) }, text);
  const made = folders.filter(({ complete }) => complete).map(({ folder: { name } }) => name);
  byId('made', HTMLElement).hidden = made.length === 0;
  byId('made-list', HTMLUListElement).replaceChildren(
    ...made.map((name) =>
      row(
        name,
        el('a', { href: chatLink(name), dir: 'auto' }, name),
        button('Show', `Show ${name}`, () => events.show(name)),
      ),
    ),
  );
  const open = folders.filter(({ complete }) => !complete);
  byId('unfinished', HTMLElement).hidden = open.length === 0;
  byId('unfinished-list', HTMLUListElement).replaceChildren(
    ...open.map(({ folder: { name } }) => {
      const known = begun.find(({ request }) => request.name === name);
      return row(
        name,
        el('span', { dir: 'auto' }, name),
        ...(known
          ? [
              el(
                'small',
                { dir: 'auto' },
                `of ${known.request.parent}, begun ${new Date(known.begun).toLocaleString()}`,
              ),
              button('Go on', `Go on with ${name}`, () => events.goOn(known)),
            ]
          : []),
      );
    }),
  );
}

/** Whether something of a conversion is kept from which it goes on. */
export async function isKept(name: string): Promise<boolean> {
  const here = (await madeFolders().catch(() => [])).find(({ folder }) => folder.name === name);
  return (await here?.folder.getFileHandle(PROGRESS_FILE).catch(() => undefined)) !== undefined;
}

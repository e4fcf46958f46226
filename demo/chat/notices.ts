import { ShishuError } from '../../src/errors.ts';
import { text } from '../text/index.ts';
import { byId, el } from './dom.ts';

export interface NoticeAction {
  label: string;
  run: () => void;
}

/** Shows an error below the conversation: what happened, what to do, and the facts behind a fold. */
export function showError(error: unknown, ...actions: NoticeAction[]): void {
  const { title, mend, facts } = describe(error);
  const notice = el('div', { class: 'notice error', role: 'alert' }, el('strong', { dir: 'auto' }, title));
  if (mend) notice.append(el('span', { dir: 'auto' }, mend));
  if (facts) notice.append(el('details', {}, el('summary', {}, text.facts), el('pre', {}, facts)));
  show(notice, actions);
}

/** Shows something that the reader should know or may do. */
export function showNote(text: string, ...actions: NoticeAction[]): void {
  show(el('div', { class: 'notice', role: 'status' }, el('span', { dir: 'auto' }, text)), actions);
}

function show(notice: HTMLElement, actions: readonly NoticeAction[]): void {
  const buttons = [...actions, { label: text.dismiss, run: () => {} }].map(({ label, run }) => {
    const click = (): void => {
      notice.remove();
      run();
    };
    return el('button', { type: 'button', click }, label);
  });
  notice.append(el('div', { class: 'row' }, ...buttons));
  byId('notices', HTMLDivElement).replaceChildren(notice);
  notice.scrollIntoView({ block: 'nearest' });
}

export function clearNotices(): void {
  byId('notices', HTMLDivElement).replaceChildren();
}

/** Runs a command of the page; what is wrong with it is shown. */
export async function attempt(run: () => Promise<void> | void): Promise<void> {
  clearNotices();
  try {
    await run();
  } catch (error) {
    showError(error);
  }
}

function describe(error: unknown): { title: string; mend?: string; facts?: string } {
  if (!(error instanceof ShishuError))
    return { title: error instanceof Error ? `${error.name}: ${error.message}` : String(error) };
  const { message, mend, code, details } = error;
  const title = mend && message.endsWith(mend) ? message.slice(0, -mend.length).trimEnd() : message;
  const facts = [`code: ${code}`, ...Object.entries(details).map(([key, value]) => `${key}: ${value}`)];
  return { title, ...(mend && { mend }), facts: facts.join('\n') };
}

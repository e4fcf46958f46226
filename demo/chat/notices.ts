import { ShishuError } from '../../src/errors.ts';
import { byId, el } from './dom.ts';

export interface NoticeAction {
  label: string;
  run: () => void;
}

/** Shows an error below the conversation: what happened, what to do, and the facts behind a fold. */
export function showError(error: unknown, action?: NoticeAction): void {
  const { title, mend, facts } = describe(error);
  const notice = el('div', { class: 'notice', role: 'alert' }, el('strong', {}, title));
  if (mend) notice.append(el('span', {}, mend));
  if (facts) notice.append(el('details', {}, el('summary', {}, 'Details'), el('pre', {}, facts)));
  const buttons = el('div', { class: 'row' });
  const button = (label: string, run?: () => void): void => {
    const click = (): void => {
      notice.remove();
      run?.();
    };
    buttons.append(el('button', { type: 'button', click }, label));
  };
  if (action) button(action.label, action.run);
  button('Dismiss');
  notice.append(buttons);
  byId('notices', HTMLDivElement).replaceChildren(notice);
  notice.scrollIntoView({ block: 'nearest' });
}

export function clearNotices(): void {
  byId('notices', HTMLDivElement).replaceChildren();
}

function describe(error: unknown): { title: string; mend?: string; facts?: string } {
  if (!(error instanceof ShishuError))
    return { title: error instanceof Error ? `${error.name}: ${error.message}` : String(error) };
  const { message, mend, code, details } = error;
  const title = mend && message.endsWith(mend) ? message.slice(0, -mend.length).trimEnd() : message;
  const facts = [`code: ${code}`, ...Object.entries(details).map(([key, value]) => `${key}: ${value}`)];
  return { title, ...(mend && { mend }), facts: facts.join('\n') };
}

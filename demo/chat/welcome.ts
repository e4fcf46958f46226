import { text } from '../text/index.ts';
import type { ReplyMode } from './conversation.ts';
import { byId, el } from './dom.ts';
import type { Models } from './models.ts';

/** Shows what stands before a conversation: what to do, or the model that is there, and prompts that suit it. */
export function showWelcome(
  { loaded, busy }: Models,
  { isNew, mode, submit }: { isNew: boolean; mode: ReplyMode; submit: (prompt: string) => void },
): void {
  byId('welcome', HTMLElement).hidden = !isNew;
  if (!isNew) return;
  const name = loaded?.choice.label ?? '';
  byId('welcome-title', HTMLHeadingElement).textContent = loaded
    ? mode === 'chat'
      ? text.chatWith(name)
      : text.writeWith(name)
    : busy
      ? text.oneMoment
      : text.chooseModel;
  byId('welcome-text', HTMLParagraphElement).textContent = loaded?.choice.description || text.welcome;
  byId('openers', HTMLDivElement).replaceChildren(
    ...(loaded?.choice.openers ?? []).map((opener) =>
      el('button', { type: 'button', dir: 'auto', click: () => submit(opener) }, opener),
    ),
  );
}

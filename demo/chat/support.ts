import { text } from '../text/index.ts';
import { byId, el } from './dom.ts';

/** Whether this page can run models; undefined: yes, else why not, in words for the page. */
export async function whyNoWebGpu(): Promise<string | undefined> {
  if (!isSecureContext) return text.notSecure;
  if (!navigator.gpu) return text.noWebGpu;
  const adapter = await navigator.gpu.requestAdapter().catch(() => null);
  return adapter ? undefined : text.noAdapter;
}

const COMMAND = 'npx shishulm generate HuggingFaceTB/SmolLM2-135M-Instruct --prompt "Once upon a time"';

/** Puts the explanation in the place of the conversation: what helps on this very system, and the way without a browser. */
export async function showNoWebGpu(why: string): Promise<void> {
  const { adviceHere } = await import('../../src/gpu/advice.ts');
  const { advice } = adviceHere('gpu' in navigator && navigator.gpu !== undefined);
  const lines = Array.isArray(advice) ? advice : [];
  byId('welcome-title', HTMLHeadingElement).textContent = text.webGpuNeeded;
  byId('welcome-text', HTMLParagraphElement).textContent = text.webGpuWhy(why);
  byId('openers', HTMLDivElement).replaceChildren(
    el(
      'div',
      { class: 'notice', id: 'no-webgpu' },
      el('strong', {}, text.whatHelps),
      el('ul', { lang: 'en' }, ...lines.map((line) => el('li', {}, String(line)))),
      el('strong', {}, text.otherWays),
      el('span', {}, text.cli),
      el('code', { dir: 'ltr' }, COMMAND),
    ),
  );
}

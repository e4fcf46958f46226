import { showNote } from './chat/notices.ts';
import { text } from './text/index.ts';

/** Lets the browser keep the pages for visits without a network. The development server serves its own. */
export async function keepPages(): Promise<void> {
  const file: string | undefined = import.meta.env.VITE_SERVICE_WORKER;
  if (file === undefined || !('serviceWorker' in navigator)) return;
  const { serviceWorker } = navigator;
  // Where it is refused, as in some private windows, the pages work with a network alone.
  const registration = await serviceWorker.register(file).catch(() => undefined);
  if (!registration) return;
  const offer = (): void => {
    const { waiting } = registration;
    if (!waiting || !serviceWorker.controller) return;
    const run = (): void => {
      serviceWorker.addEventListener('controllerchange', () => location.reload(), { once: true });
      waiting.postMessage('take-over');
    };
    showNote(text.newVersion, { label: text.useNow, run });
  };
  // It may have begun before anyone listened.
  const watch = (): void => {
    const { installing } = registration;
    installing?.addEventListener('statechange', () => installing.state === 'installed' && offer());
  };
  offer();
  watch();
  registration.addEventListener('updatefound', watch);
}

import { Chat } from './chat/chat.ts';
import { byId } from './chat/dom.ts';
import { showError } from './chat/notices.ts';
import { includedModels } from './chat/picker.ts';
import { showNoWebGpu, whyNoWebGpu } from './chat/support.ts';
import { showPages } from './nav.ts';
import { startPage } from './profile.ts';
import { savedChoices } from './saved-models.ts';
import { preferredLanguage, setLanguage } from './text/index.ts';

setLanguage(preferredLanguage());
showPages(byId('pages', HTMLElement));
await startPage(async (profile) => {
  const why = await whyNoWebGpu();
  if (why) {
    document.body.classList.add('unsupported');
    await showNoWebGpu(why);
    return;
  }
  const included = await includedModels().catch((error: unknown) => {
    showError(error);
    return [];
  });
  // A link may name the model, as #model=child.
  const asked = new URLSearchParams(location.hash.slice(1)).get('model');
  await new Chat([...included, ...(await savedChoices())], profile).start(asked ?? undefined);
});

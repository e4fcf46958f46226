import { decodeUri } from '../src/decode-uri.ts';
import { ShishuError } from '../src/errors.ts';
import { type HubOptions, hubPlace, isHubId } from '../src/formats/hub.ts';

/** The hub that the page's address names, as `?hub=https://mirror.example`; the public one without. */
export function hubOfPage(): HubOptions {
  const endpoint = new URLSearchParams(location.search).get('hub');
  return endpoint === null ? {} : { endpoint };
}

/**
 * What a field for models means: a name of a hub stays as it is, an address is relative to the page.
 * @throws ShishuError `bad-argument`
 */
export function addressOf(text: string): { source: string; label: string } {
  const asked = text.trim();
  const place = hubPlace(asked, hubOfPage());
  if (!place && !URL.canParse(asked, document.baseURI))
    throw new ShishuError('bad-argument', `"${asked}" is no address.`, {
      mend: 'Write the owner/name of a model on a hub, or the address of its folder or GGUF file.',
    });
  const source = isHubId(asked) ? asked : new URL(asked, document.baseURI).href;
  const { pathname, hostname } = place ? { pathname: place.file ?? place.id, hostname: '' } : new URL(source);
  const last = pathname.split('/').filter(Boolean).at(-1) ?? hostname;
  // What cannot be an address is the load's to say.
  return { source, label: decodeUri(last) ?? last };
}

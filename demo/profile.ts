import { checkProfile, type ProfileOption } from '../src/gpu/profile.ts';
import { byId } from './chat/dom.ts';
import { showError } from './chat/notices.ts';

const asked = (): string | null => new URLSearchParams(location.search).get('profile');

/** Whether the address names a profile. */
export const profileAsked = (): boolean => asked() !== null;

/** Address of a page of the demo, with the profile and the hub of this one. */
export function pageLink(file: string): string {
  const kept = [...new URLSearchParams(location.search)].filter(([name]) =>
    ['profile', 'hub'].includes(name),
  );
  return `./${file}${kept.length > 0 ? `?${new URLSearchParams(kept)}` : ''}`;
}

/** Starts the page with the profile that its address asks for, as `?profile=gpu`; a page with one that is none does not start. */
export async function startPage(start: (profile: ProfileOption) => Promise<void> | void): Promise<void> {
  let profile: ProfileOption;
  try {
    profile = checkProfile(asked() ?? 'auto');
  } catch (error) {
    byId('settings', HTMLFormElement).hidden = true;
    showError(error);
    return;
  }
  await start(profile);
}

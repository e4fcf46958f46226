// What the answers of a hub mean; fetched with the first that is a refusal.
import { ShishuError } from '../errors.ts';
import type { HubFolder } from './hub.ts';

/** Why a hub refuses a file; undefined where its answer says no more than that of any server. @param note said of a missing model */
export function hubRefusal(
  { place, page, revision, headers }: HubFolder,
  { status, headers: said }: Response,
  file: string,
  note = '',
): ShishuError | undefined {
  const { id } = place;
  const code = said.get('X-Error-Code');
  const details = { file, status, model: id, page };
  if (code === 'GatedRepo') {
    const mend = headers.Authorization
      ? `Accept it at ${page} with the account of the token; some owners let readers in by hand, and a fine-grained token needs the right to read gated models.`
      : `Accept it at ${page}, then give a token of that account: HF_TOKEN on the command line, hub.token in code.`;
    return new ShishuError('io', `${id} is for those who accepted its licence.`, { details, mend });
  }
  if (code === 'RevisionNotFound')
    return new ShishuError('not-found', `${id} has no revision "${revision}".`, {
      details,
      mend: `${page}/tree/main lists its branches and tags.`,
    });
  if (status === 401 && /credentials|token/i.test(said.get('X-Error-Message') ?? ''))
    return new ShishuError('io', 'The hub does not accept the token.', {
      details,
      mend: 'Make a new one in the settings of your account there, or leave it out.',
    });
  // A hub does not tell those who are not logged in which models there are.
  if (code === 'RepoNotFound' || (status === 401 && code === null))
    return new ShishuError(
      'not-found',
      `There is no model ${page}, or it is private${note && `, and ${note}`}.`,
      {
        details,
        mend: 'Check the name; a private model needs a token: HF_TOKEN on the command line, hub.token in code.',
      },
    );
  return undefined;
}

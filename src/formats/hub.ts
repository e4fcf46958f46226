// Names and addresses of a hub's models.
import { ShishuError } from '../errors.ts';
import { isPlainPath } from './plain-path.ts';

/** Where models named `owner/name` come from. */
export interface HubOptions {
  /** A server with the hub's paths (default `https://huggingface.co`). */
  endpoint?: string | URL;
  /** Sent to the endpoint as a bearer token, for gated and private models; to no other host, also not where it redirects to. */
  token?: string;
  /** Branch, tag or commit (default `main`); `owner/name@revision` says the same. */
  revision?: string;
}

/** A model of a hub: its repository, or a folder or a GGUF file in it. */
export interface HubPlace {
  /** `owner/name` */
  id: string;
  revision?: string | undefined;
  /** Empty, or ends with a slash. */
  folder: string;
  /** A GGUF file in the folder. */
  file?: string | undefined;
}

const PUBLIC = 'https://huggingface.co';
const PART = '[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?';
const NAME = `${PART}/${PART}`;
const ID = new RegExp(`^(${NAME})(?:@([^\\s@]+))?$`);
/** Branches of the hub itself have slashes. */
const REVISION = '(?:refs/(?:pr|convert)/)?[^\\s@/]+';
const GGUF = new RegExp(`^(${NAME})(?:@(${REVISION}))?/((?:${PART}/)*${PART}[.]gguf)$`, 'i');
const PATH = new RegExp(`^(${NAME})(?:@(${REVISION}))?/(.+)$`);
const SCHEME = /^hf:(?:\/\/)?/i;
const HOST = /^(?:https?:\/\/)?(?:www[.])?(?:huggingface[.]co|hf[.]co)(?:\/|$)/i;
/** Files of a model's folder, which an address copied in a browser may name in its place. */
const IN_FOLDER = /[.](json|safetensors|jinja|model|txt|md|bin)$/i;

/**
 * Whether a string names a model of the hub: `owner/name`, `owner/name@revision`, either with `/file.gguf`; or `hf:` and one of
 * these, or the hub's address without `https://`. A relative URL starts with a dot or a slash.
 */
export function isHubId(text: string): boolean {
  return (
    ID.test(text) || SCHEME.test(text) || (!/^https?:/i.test(text) && (HOST.test(text) || GGUF.test(text)))
  );
}

/**
 * What a name or an address means on a hub: as `isHubId`, or the address of a page or a file of the hub, as copied in a browser, which is asked for at the endpoint too. Undefined where it is of no hub.
 * @throws ShishuError `bad-argument` for what is on a hub and no model
 */
export function hubPlace(text: string, { endpoint = PUBLIC }: HubOptions = {}): HubPlace | undefined {
  const base = String(endpoint).replace(/\/+$/, '');
  if (base !== PUBLIC && text.startsWith(`${base}/`)) return ofAddress(text.slice(base.length + 1), text);
  if (HOST.test(text)) return ofAddress(text.replace(HOST, ''), text);
  const name = text.replace(SCHEME, '');
  const own = name === text;
  const [, id, revision, path = ''] =
    GGUF.exec(name) ?? ID.exec(name) ?? (own ? undefined : PATH.exec(name)) ?? [];
  if (id !== undefined) return { id, ...(revision !== undefined && { revision }), ...inRepository(path) };
  if (own) return undefined;
  throw noModel(text);
}

const noModel = (text: string): ShishuError =>
  new ShishuError('bad-argument', `"${text}" is no model of a hub.`, {
    details: { id: text },
    mend: 'Write owner/name, owner/name@revision or owner/name/file.gguf.',
  });

/** The place of an address of a hub, after the host. */
function ofAddress(rest: string, address: string): HubPlace {
  const [path = '', query = ''] = rest.split(/[?#]/);
  let parts: string[];
  try {
    parts = path.split('/').map(decodeURIComponent);
  } catch {
    throw noModel(address);
  }
  const [owner, , kind, revision, ...inside] = parts;
  const [, id, own] = ID.exec(parts.slice(0, 2).join('/')) ?? [];
  if (id === undefined || ['datasets', 'spaces', 'models', 'collections', 'docs', 'api'].includes(owner!))
    throw noModel(address);
  // The hub's page of a GGUF file.
  const shown = new URLSearchParams(query).get('show_file_info');
  if (kind === undefined || !['tree', 'blob', 'resolve', 'raw'].includes(kind) || !revision)
    return { id, ...(own !== undefined && { revision: own }), ...inRepository(shown ?? '') };
  const branch = revision === 'refs' ? [revision, ...inside.splice(0, 2)].join('/') : revision;
  return { id, revision: branch, ...inRepository(shown ?? inside.join('/')) };
}

/** A path in a repository: of a GGUF file, a folder, or a file of the folder that is meant. */
function inRepository(path: string): Pick<HubPlace, 'folder' | 'file'> {
  const cut = path.lastIndexOf('/') + 1;
  const [folder, last] = [path.slice(0, cut), path.slice(cut)];
  if (/[.]gguf$/i.test(last)) return { folder, file: last };
  return { folder: last === '' || IN_FOLDER.test(last) ? folder : `${path}/` };
}

/** A repository on its server, and what its files are asked for with. */
export interface HubFolder {
  place: HubPlace;
  revision: string;
  /** Of the folder's files. */
  url: URL;
  /** Where the hub lists the repository's files, by revision. */
  list: URL;
  /** The page where people read about the model, and accept its licence. */
  page: string;
  headers: Record<string, string>;
}

/** @throws ShishuError `bad-argument` where the endpoint, the token, the revision or the folder make no sense */
export function hubFolder(
  place: HubPlace,
  { endpoint = PUBLIC, token, revision }: HubOptions = {},
): HubFolder {
  const { id, revision: own } = place;
  if (own !== undefined && revision !== undefined && own !== revision)
    throw new ShishuError('bad-argument', `"${id}@${own}" names another revision than "${revision}".`, {
      details: { id },
      mend: 'Write owner/name, or owner/name@revision.',
    });
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token))
    throw new ShishuError('bad-argument', "The hub's token holds what no token holds, as spaces.");
  const branch = own ?? revision ?? 'main';
  if (!isPlainPath(branch) || !isPlainPath(`${place.folder}${place.file ?? 'file'}`))
    throw noModel(`${id}@${branch}/${place.folder}${place.file ?? ''}`);
  const base = urlOf(endpoint).href.replace(/\/+$/, '');
  const at = (path: string): URL => new URL(`${base}/${path}`);
  const folder = place.folder.split('/').map(encodeURIComponent).join('/');
  return {
    place,
    revision: branch,
    url: at(`${id}/resolve/${encodeURIComponent(branch)}/${folder}`),
    list: at(`api/models/${id}/tree/?recursive=true`),
    page: at(id).href,
    headers: token === undefined ? {} : { Authorization: `Bearer ${token}` },
  };
}

function urlOf(endpoint: string | URL): URL {
  try {
    const url = new URL(endpoint);
    if (url.username || url.password)
      throw new ShishuError('bad-argument', "The hub's endpoint holds a name or a password.", {
        mend: 'Give a token: HF_TOKEN on the command line, hub.token in code.',
      });
    if (/^https?:$/.test(url.protocol) && url.search + url.hash === '') return url;
  } catch (error) {
    if (error instanceof ShishuError) throw error;
  }
  throw new ShishuError(
    'bad-argument',
    `The hub's endpoint "${endpoint}" is not a URL of a server or a folder.`,
    {
      mend: 'Write it with https://, and with no ? or #.',
    },
  );
}

import { ShishuError } from '../errors.ts';

/** Where models named `owner/name` come from. */
export interface HubOptions {
  /** A server with the hub's paths (default `https://huggingface.co`). */
  endpoint?: string | URL;
  /** Sent to the endpoint as a bearer token, for gated and private models. */
  token?: string;
  /** Branch, tag or commit (default `main`); `owner/name@revision` says the same. */
  revision?: string;
}

const PART = '[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?';
const ID = new RegExp(`^(${PART}/${PART})(?:@([^\\s@]+))?$`);
const GGUF = new RegExp(`^(${PART}/${PART}(?:@[^\\s@/]+)?)/((?:${PART}/)*${PART}[.]gguf)$`, 'i');

/**
 * Whether a string names a model of the hub: `owner/name`, `owner/name@revision`, either with `/file.gguf`. A relative URL starts
 * with a dot or a slash.
 */
export function isHubId(text: string): boolean {
  return ID.test(text) || GGUF.test(text);
}

/** The repository and the file of `owner/name/file.gguf`, which may lie in a folder of it. */
export function hubGguf(text: string): { id: string; file: string } | undefined {
  const [, id, file] = GGUF.exec(text) ?? [];
  return id === undefined || file === undefined ? undefined : { id, file };
}

/**
 * The folder of a hub's model, and the headers that its files are asked for with.
 * @throws ShishuError `bad-argument` where the name, the endpoint or the revision make no sense
 */
export function hubFolder(
  id: string,
  { endpoint = 'https://huggingface.co', token, revision }: HubOptions = {},
): { url: URL; headers: Record<string, string> } {
  const [, name, own] = ID.exec(id) ?? [];
  if (!name || (own !== undefined && revision !== undefined && own !== revision))
    throw new ShishuError(
      'bad-argument',
      name ? `"${id}" names another revision than "${revision}".` : `"${id}" is no model of a hub.`,
      { details: { id }, mend: 'Write owner/name, or owner/name@revision.' },
    );
  let url: URL;
  try {
    url = new URL(endpoint);
  } catch (cause) {
    throw new ShishuError('bad-argument', `The hub's endpoint "${endpoint}" is not a URL.`, { cause });
  }
  const folder = url.pathname.replace(/\/$/, '');
  url.pathname = `${folder}/${name}/resolve/${encodeURIComponent(own ?? revision ?? 'main')}/`;
  return { url, headers: token === undefined ? {} : { Authorization: `Bearer ${token}` } };
}

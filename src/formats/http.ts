import { ShishuError } from '../errors.ts';
import type { RawSource } from './source.ts';

/** A folder on a web server, read by range requests. `folder` may be relative to the page. */
export function rawHttp(
  folder: string | URL,
  fetcher: typeof fetch = globalThis.fetch.bind(globalThis),
): RawSource {
  const base = folderUrl(folder);
  const get = async (file: string, range: string | undefined, signal?: AbortSignal): Promise<Response> => {
    const url = new URL(file.split('/').map(encodeURIComponent).join('/'), base);
    url.search = base.search;
    const headers: HeadersInit = range === undefined ? {} : { Range: `bytes=${range}` };
    return fetcher(url.href, { headers, ...(signal && { signal }) });
  };
  return {
    name: base.href,
    async read(file, start, end, signal) {
      if (start !== undefined && start === end) return new Uint8Array(0);
      const ranged = start !== undefined || end !== undefined;
      const range = ranged ? `${start ?? 0}-${end === undefined ? '' : end - 1}` : undefined;
      const response = await get(file, range, signal);
      if (isMissing(response)) return undefined;
      if (response.status === 206) {
        checkContentRange(response, file, start ?? 0);
        return new Uint8Array(await response.arrayBuffer());
      }
      if (!response.ok) throw statusError(response, file);
      return ranged ? part(response, start ?? 0, end) : new Uint8Array(await response.arrayBuffer());
    },
    async size(file, signal) {
      const response = await get(file, '0-0', signal);
      await response.body?.cancel();
      if (isMissing(response)) return null;
      if (response.status === 416) return 0;
      if (!response.ok) throw statusError(response, file);
      if (response.status === 206) return numberOrNothing(contentRange(response)?.total);
      // The length of a compressed answer is not the file's.
      const plain = response.headers.get('Content-Encoding') === null;
      return plain ? numberOrNothing(response.headers.get('Content-Length')) : undefined;
    },
  };
}

function folderUrl(folder: string | URL): URL {
  let url: URL;
  try {
    url = new URL(folder, globalThis.location?.href);
  } catch (cause) {
    throw new ShishuError('bad-argument', `"${folder}" is not a URL.`, {
      cause,
      mend: 'Give the full URL of a folder.',
    });
  }
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return url;
}

/** Servers of one-page apps answer a missing file with their page; no file of a model is HTML. */
function isMissing(response: Response): boolean {
  if (response.status === 404) return true;
  return response.ok && (response.headers.get('Content-Type') ?? '').startsWith('text/html');
}

function statusError(response: Response, file: string): ShishuError {
  const { status } = response;
  const mend =
    status === 401 || status === 403
      ? 'The server wants permission: the model may be gated or private.'
      : undefined;
  return new ShishuError('io', `The server answered ${status} for ${file}.`, {
    details: { file, status },
    mend,
  });
}

function contentRange(response: Response): { start: number; total: string } | undefined {
  const match = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get('Content-Range') ?? '');
  return match ? { start: Number(match[1]), total: match[2] ?? '*' } : undefined;
}

function checkContentRange(response: Response, file: string, start: number): void {
  const found = contentRange(response)?.start;
  if (found === undefined || found === start) return;
  throw new ShishuError(
    'io',
    `The server sent ${file} from byte ${found}, not from byte ${start} as asked.`,
    {
      details: { file, found, expected: start },
    },
  );
}

function numberOrNothing(text: string | null | undefined): number | undefined {
  return text && /^\d+$/.test(text) ? Number(text) : undefined;
}

/** Cuts `[start, end)` out of a whole-file answer without keeping the rest. */
async function part(response: Response, start: number, end = Number.POSITIVE_INFINITY): Promise<Uint8Array> {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  const reader = response.body?.getReader();
  let at = 0;
  while (reader && at < end) {
    const { value, done } = await reader.read();
    if (done) break;
    const from = Math.max(start - at, 0);
    const to = Math.min(end - at, value.length);
    if (from < to) pieces.push(value.subarray(from, to) as Uint8Array<ArrayBuffer>);
    at += value.length;
  }
  await reader?.cancel();
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

// A hub on this machine: it names, redirects, guards and refuses as the public one does. Large files come from a CDN at another
// origin, which takes nobody's token.
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Repository {
  files: Record<string, string | Uint8Array>;
  /** Branches and tags beside main. */
  revisions?: readonly string[];
  /** Readers accept a licence first. */
  gated?: true;
  private?: true;
}

export interface Asked {
  host: 'hub' | 'cdn';
  method: string;
  path: string;
  range: string | undefined;
  token: string | undefined;
}

export interface HubServer {
  endpoint: string;
  asked: Asked[];
  /** The next so many answers of the hub are 429, with these headers. */
  busy(times: number, headers: Record<string, string>): void;
  close(): Promise<void>;
}

/** Tokens of accounts: one that accepted the licence and may read what is private, and one of a stranger. */
export const TOKENS = { member: 'hf_member', stranger: 'hf_stranger' };
const COMMIT = '0123456789abcdef0123456789abcdef01234567';
const EXPOSED =
  'X-Repo-Commit,X-Request-Id,X-Error-Code,X-Error-Message,ETag,Link,Accept-Ranges,Content-Range,X-Linked-Size,X-Linked-ETag';

const bytesOf = (content: string | Uint8Array): Buffer => Buffer.from(content as Uint8Array);
const etag = (bytes: Buffer): string => `"${createHash('sha256').update(bytes).digest('hex')}"`;
const isLarge = (path: string): boolean => /\.(safetensors|gguf)$/.test(path);

function send(request: IncomingMessage, response: ServerResponse, bytes: Buffer, headers = {}): void {
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
  const common = { 'Accept-Ranges': 'bytes', ETag: etag(bytes), ...headers };
  const start = Number(from ?? 0);
  if (from !== undefined && start >= bytes.length)
    return void response.writeHead(416, { ...common, 'Content-Range': `bytes */${bytes.length}` }).end();
  const end = Math.min(to ? Number(to) + 1 : bytes.length, bytes.length);
  response.writeHead(from === undefined ? 200 : 206, {
    ...common,
    'Content-Length': end - start,
    ...(from !== undefined && { 'Content-Range': `bytes ${start}-${end - 1}/${bytes.length}` }),
  });
  response.end(request.method === 'HEAD' ? undefined : bytes.subarray(start, end));
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** @param repositories by `owner/name`; what they hold may change while the server runs */
export async function startHub(repositories: Readonly<Record<string, Repository>>): Promise<HubServer> {
  const asked: Asked[] = [];
  let busy = { times: 0, headers: {} as Record<string, string> };
  const note = (host: Asked['host'], { method = '', url = '', headers }: IncomingMessage): void => {
    if (method !== 'OPTIONS')
      asked.push({ host, method, path: url, range: headers.range, token: headers.authorization });
  };

  const cdn = createServer((request, response) => {
    note('cdn', request);
    const { pathname, searchParams } = new URL(request.url!, 'http://x');
    response.setHeader('Access-Control-Allow-Origin', '*');
    response.setHeader('Access-Control-Expose-Headers', 'Content-Range,ETag,Accept-Ranges,Content-Length');
    // No header but those that pages may send unasked.
    if (request.method === 'OPTIONS') return response.writeHead(403).end();
    if (searchParams.get('Signature') !== 'yes' || request.headers.authorization)
      return response.writeHead(403).end();
    const [, owner, name, ...path] = pathname.split('/').map(decodeURIComponent);
    const content = repositories[`${owner}/${name}`]!.files[path.join('/')]!;
    send(request, response, bytesOf(content));
  });
  const store = await listen(cdn);

  const hub = createServer((request, response) => {
    note('hub', request);
    const { origin, authorization } = request.headers;
    response.setHeader('Access-Control-Allow-Origin', origin ?? '*');
    response.setHeader('Vary', 'Origin');
    response.setHeader('Access-Control-Expose-Headers', EXPOSED);
    if (request.method === 'OPTIONS')
      return response
        .writeHead(204, {
          'Access-Control-Allow-Methods': 'GET, HEAD, OPTIONS',
          'Access-Control-Allow-Headers': request.headers['access-control-request-headers'] ?? '',
        })
        .end();
    const fail = (status: number, code: string | undefined, message: string): void =>
      void response
        .writeHead(status, { ...(code && { 'X-Error-Code': code }), 'X-Error-Message': message })
        .end(status === 401 ? 'Invalid username or password.' : message);
    if (busy.times-- > 0) {
      const limited = { 'X-Error-Message': 'We had to rate limit your IP, log in or pass a token' };
      return response.writeHead(429, { ...limited, ...busy.headers }).end();
    }
    const token = authorization?.replace(/^Bearer /, '');
    if (token !== undefined && !Object.values(TOKENS).includes(token))
      return fail(401, undefined, 'Invalid credentials in Authorization header');
    const member = token === TOKENS.member;
    const { pathname } = new URL(request.url!, 'http://x');
    const parts = pathname.slice(1).split('/').map(decodeURIComponent);
    const api = parts[0] === 'api';
    const cached = api && parts[1] === 'resolve-cache';
    if (api) parts.splice(0, cached ? 3 : 2);
    const id = parts.splice(0, 2).join('/');
    const repository = Object.hasOwn(repositories, id) ? repositories[id] : undefined;
    if (!repository || (repository.private && !member))
      return fail(token === undefined ? 401 : 404, 'RepoNotFound', 'Repository not found');
    const { files, gated, revisions = [] } = repository;
    if (!cached) parts.shift();
    const revision = parts.shift()!;
    if (!['main', COMMIT, ...revisions].includes(revision))
      return fail(404, 'RevisionNotFound', `Invalid rev id: ${revision}`);
    if (api && !cached) {
      const rows = Object.entries(files).map(([path, content]) => {
        const size = bytesOf(content).length;
        return {
          type: 'file',
          oid: COMMIT,
          size,
          path,
          ...(isLarge(path) && { lfs: { size, pointerSize: 134 } }),
        };
      });
      const json = JSON.stringify([{ type: 'directory', oid: COMMIT, size: 0, path: 'folder' }, ...rows]);
      return response.writeHead(200, { 'Content-Type': 'application/json; charset=utf-8' }).end(json);
    }
    if (gated && !member) {
      const page = `Access to model ${id} is restricted. You must have access to it and be authenticated to access it.`;
      return fail(token === undefined ? 401 : 403, 'GatedRepo', page);
    }
    const path = parts.join('/');
    const content = Object.hasOwn(files, path) ? files[path] : undefined;
    if (content === undefined) return fail(404, 'EntryNotFound', 'Entry not found');
    const bytes = bytesOf(content);
    const known = { 'X-Repo-Commit': COMMIT };
    if (cached) return send(request, response, bytes, known);
    const encoded = path.split('/').map(encodeURIComponent).join('/');
    if (!isLarge(path))
      return response
        .writeHead(307, { ...known, Location: `/api/resolve-cache/models/${id}/${COMMIT}/${encoded}` })
        .end('Temporary Redirect.');
    response
      .writeHead(302, {
        ...known,
        'X-Linked-Size': bytes.length,
        'X-Linked-ETag': etag(bytes),
        Location: `${store}/${id}/${encoded}?Signature=yes&Expires=1`,
      })
      .end('Found. Redirecting.');
  });
  const endpoint = await listen(hub);
  return {
    endpoint,
    asked,
    busy: (times, headers) => {
      busy = { times, headers };
    },
    async close() {
      for (const server of [hub, cdn]) {
        server.closeAllConnections();
        await new Promise((done) => server.close(done));
      }
    },
  };
}

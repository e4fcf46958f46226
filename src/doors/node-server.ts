// A handler of requests as a server of Node, for programs on this machine.
import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ShishuError } from '../errors.ts';
import { failed } from './openai-http.ts';
import { ServiceFailure } from './service-errors.ts';

export interface ServerOptions {
  handle(request: Request): Promise<Response>;
  port: number;
  /** The address to listen at, as `127.0.0.1`. */
  host: string;
  /** Asked for as `Authorization: Bearer KEY`, but for `/health`. */
  key?: string | undefined;
  /** Origins of pages that may ask; `*` is any. None may unless they are named. */
  origins?: readonly string[] | undefined;
  /** Bytes of a request's body. */
  bodyLimit: number;
  /** Requests that are answered or wait at a time. */
  queueLimit: number;
  /** Told of each request that ends. */
  onRequest?(request: { method: string; path: string; status: number; ms: number }): void;
}

export interface Server {
  /** With the port that was free, where 0 was asked for. */
  readonly port: number;
  /** Takes no more requests, ends those under way, and waits until they are gone. */
  close(): Promise<void>;
}

const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\]|::1)$/i;

const sameText = (a: string, b: string): boolean => {
  const [x, y] = [a, b].map((text) => createHash('sha256').update(text).digest());
  return timingSafeEqual(x!, y!);
};

async function readBody(message: IncomingMessage, limit: number): Promise<Uint8Array<ArrayBuffer>> {
  const tooLarge = () =>
    new ServiceFailure(413, `The body of the request is over ${limit} bytes.`, { code: 'body_too_large' });
  if (Number(message.headers['content-length'] ?? 0) > limit) throw tooLarge();
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of message as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > limit) throw tooLarge();
    pieces.push(piece);
  }
  return new Uint8Array(Buffer.concat(pieces));
}

/**
 * Serves until it is closed. Of a server at a loopback address, requests with the name of another host are refused: a page
 * elsewhere may have its own name lead here.
 * @throws ShishuError `io` where the port is taken, or may not be used
 */
export async function listen(options: ServerOptions): Promise<Server> {
  const { handle, host, key, origins = [], bodyLimit, queueLimit, onRequest } = options;
  const closing = new AbortController();
  const running = new Set<Promise<void>>();

  const mayAsk = (origin: string | undefined): boolean =>
    origins.some((each) => each === '*' || each === origin);

  /** @throws ServiceFailure for a caller that this server is not for */
  const checkCaller = ({ headers, method }: IncomingMessage, path: string): void => {
    const named = (headers.host ?? '').replace(/:\d+$/, '');
    if (LOOPBACK.test(host) && !LOOPBACK.test(named))
      throw new ServiceFailure(403, `The host "${named}" is not this machine.`, { code: 'wrong_host' });
    if (headers.origin !== undefined && !mayAsk(headers.origin))
      throw new ServiceFailure(403, `Pages of ${headers.origin} may not ask this server.`, {
        code: 'wrong_origin',
      });
    // A preflight carries no key.
    if (key === undefined || path === '/health' || method === 'OPTIONS') return;
    const given = /^Bearer (.+)$/i.exec(headers.authorization ?? '')?.[1] ?? '';
    if (!sameText(given, key))
      throw new ServiceFailure(401, 'The key of this server is missing or wrong.', {
        code: 'invalid_api_key',
      });
  };

  const answer = async (message: IncomingMessage, url: URL, gone: AbortSignal): Promise<Response> => {
    const { method = 'GET', headers } = message;
    checkCaller(message, url.pathname);
    if (method === 'OPTIONS' && headers.origin !== undefined)
      return new Response(null, {
        status: 204,
        headers: {
          'access-control-allow-methods': 'GET, POST',
          'access-control-allow-headers': headers['access-control-request-headers'] ?? '',
          'access-control-max-age': '600',
        },
      });
    if (running.size >= queueLimit)
      throw new ServiceFailure(429, `${queueLimit} requests are under way: ask again later.`, {
        code: 'queue_full',
      });
    const body = method === 'POST' ? await readBody(message, bodyLimit) : null;
    return handle(new Request(url, { method, body, signal: AbortSignal.any([gone, closing.signal]) }));
  };

  const serve = async (message: IncomingMessage, response: ServerResponse): Promise<void> => {
    const begun = performance.now();
    const { method = '', headers } = message;
    const url = new URL(`http://localhost${message.url?.replace(/^\/*/, '/') ?? '/'}`);
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    const found = await answer(message, url, gone.signal).catch(failed);
    const { status, body } = found;
    response.setHeaders(found.headers);
    if (mayAsk(headers.origin))
      response.setHeader('access-control-allow-origin', headers.origin!).setHeader('vary', 'Origin');
    if (status === 429) response.setHeader('retry-after', '1');
    // What is left of a body that was refused is not read.
    if (status === 413 || closing.signal.aborted) response.setHeader('connection', 'close');
    response.writeHead(status);
    try {
      if (body) await pipeline(Readable.fromWeb(body as never), response);
      else response.end();
    } catch {
      // The caller has gone: there is nobody to tell.
    }
    onRequest?.({ method, path: url.pathname, status, ms: performance.now() - begun });
  };

  const server = createServer((message, response) => {
    const served = serve(message, response).finally(() => running.delete(served));
    running.add(served);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, host, resolve);
  }).catch((cause: NodeJS.ErrnoException) => {
    const why = cause.code === 'EADDRINUSE' ? 'it is taken' : cause.message;
    throw new ShishuError('io', `Cannot listen at ${host}, port ${options.port}: ${why}.`, {
      details: { host, port: options.port },
      mend: 'Give another --port; 0 takes a free one.',
      cause,
    });
  });
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      closing.abort();
      await Promise.allSettled(running);
      // Clients keep connections for later.
      server.closeAllConnections();
      await closed;
    },
  };
}

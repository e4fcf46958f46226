// The local server, asked as programs and pages ask it.
import { request } from 'node:http';
import OpenAI from 'openai';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { listen, type Server, type ServerOptions } from '../../src/doors/node-server.ts';
import { openaiHandler } from '../../src/doors/openai-http.ts';
import { fakeModel } from '../support/fake-model.ts';

const servers: Server[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

async function start(options: Partial<ServerOptions> = {}) {
  const { model, calls, seen } = fakeModel();
  const server = await listen({
    handle: openaiHandler({ models: model, name: 'fake' }),
    port: 0,
    host: '127.0.0.1',
    bodyLimit: 1000,
    queueLimit: 4,
    ...options,
  });
  servers.push(server);
  return { server, calls, seen, at: `http://127.0.0.1:${server.port}` };
}

const messages = [{ role: 'user' as const, content: 'Hi' }];
const post = (body: object, headers: Record<string, string> = {}): RequestInit => ({
  method: 'POST',
  body: JSON.stringify(body),
  headers,
});

describe('a server', () => {
  it("answers OpenAI's client, whole and as a stream", async () => {
    const { at } = await start();
    const openai = new OpenAI({ apiKey: 'none', baseURL: `${at}/v1` });
    const answer = await openai.chat.completions.create({ model: 'fake', messages });
    expect(answer.choices[0]!.message.content).toBe('Hello!');
    const said = await openai.chat.completions.stream({ model: 'fake', messages }).finalContent();
    expect(said).toBe('Hello!');
    expect((await openai.models.list()).data.map(({ id }) => id)).toEqual(['fake']);
  });

  it('ends the reply of a caller who goes away', async () => {
    let asked: AbortSignal | undefined;
    const { at } = await start({
      handle: async ({ signal }) => {
        asked = signal;
        return new Response(new ReadableStream({ start: (stream) => stream.enqueue(new Uint8Array(1)) }));
      },
    });
    const leaving = new AbortController();
    await fetch(at, { signal: leaving.signal });
    expect(asked?.aborted).toBe(false);
    leaving.abort();
    await expect.poll(() => asked?.aborted).toBe(true);
  });

  it('asks for its key, but to say that it is well', async () => {
    const { at } = await start({ key: 'secret' });
    expect((await fetch(`${at}/health`)).status).toBe(200);
    const refused = await fetch(`${at}/v1/models`, { headers: { authorization: 'Bearer secre' } });
    expect(refused.status).toBe(401);
    expect(await refused.json()).toMatchObject({ error: { code: 'invalid_api_key' } });
    const taken = await fetch(`${at}/v1/models`, { headers: { authorization: 'Bearer secret' } });
    expect(taken.status).toBe(200);
  });

  it('refuses pages, but of the origins that it was given', async () => {
    const { at } = await start({ origins: ['http://localhost:5173'], key: 'secret' });
    const from = (origin: string, init: RequestInit = {}) =>
      fetch(`${at}/v1/models`, {
        ...init,
        headers: { ...init.headers, origin, authorization: 'Bearer secret' },
      });
    const other = await from('http://example.com');
    expect([other.status, other.headers.get('access-control-allow-origin')]).toEqual([403, null]);
    const own = await from('http://localhost:5173');
    expect([own.status, own.headers.get('access-control-allow-origin')]).toEqual([
      200,
      'http://localhost:5173',
    ]);
    const preflight = await fetch(`${at}/v1/chat/completions`, {
      method: 'OPTIONS',
      headers: {
        origin: 'http://localhost:5173',
        'access-control-request-headers': 'authorization,content-type',
      },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-headers')).toBe('authorization,content-type');
    // An error is readable for the page, too.
    const wrong = await fetch(`${at}/v1/models`, { headers: { origin: 'http://localhost:5173' } });
    expect([wrong.status, wrong.headers.get('access-control-allow-origin')]).toEqual([
      401,
      'http://localhost:5173',
    ]);
  });

  it('refuses the name of another host', async () => {
    const { server } = await start();
    const status = await new Promise((resolve, reject) => {
      const asking = request(
        { port: server.port, host: '127.0.0.1', headers: { host: 'evil.example' } },
        (response) => {
          response.resume();
          resolve(response.statusCode);
        },
      );
      asking.on('error', reject).end();
    });
    expect(status).toBe(403);
  });

  it('takes bodies up to its limit', async () => {
    const { at } = await start();
    const long = 'x'.repeat(1000);
    expect((await fetch(`${at}/v1/embeddings`, post({ input: long }))).status).toBe(413);
    const streamed = new ReadableStream({
      start(stream) {
        stream.enqueue(new TextEncoder().encode(long));
        stream.enqueue(new TextEncoder().encode(long));
        stream.close();
      },
    });
    const init = { method: 'POST', body: streamed, duplex: 'half' } as RequestInit;
    expect((await fetch(`${at}/v1/embeddings`, init)).status).toBe(413);
    expect((await fetch(`${at}/v1/embeddings`, post({ input: 'short' }))).status).toBe(200);
  });

  it('sends further requests away where too many run', async () => {
    const done = new AbortController();
    const handle = vi.fn(async () => {
      await new Promise((resolve) => done.signal.addEventListener('abort', resolve));
      return new Response('done');
    });
    const { at } = await start({ handle, queueLimit: 2 });
    const running = [fetch(at), fetch(at)];
    await expect.poll(() => handle.mock.calls.length).toBe(2);
    const third = await fetch(at);
    expect([third.status, third.headers.get('retry-after')]).toEqual([429, '1']);
    done.abort();
    expect((await Promise.all(running)).map(({ status }) => status)).toEqual([200, 200]);
  });

  it('stops what runs when it is closed, and says which port is taken', async () => {
    const { server, at } = await start({
      handle: async ({ signal }) => {
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        return new Response('stopped');
      },
    });
    await expect(start({ port: server.port })).rejects.toMatchObject({ code: 'io' });
    const hanging = fetch(at).then((response) => response.text());
    await new Promise((resolve) => setTimeout(resolve, 50));
    await server.close();
    expect(await hanging).toBe('stopped');
    await expect(fetch(at)).rejects.toThrow();
  });

  it('tells of each request, whatever its address', async () => {
    const onRequest = vi.fn();
    const { at } = await start({ onRequest });
    await fetch(`${at}//%`);
    await fetch(`${at}/v1/models/%`);
    await expect.poll(() => onRequest.mock.calls.map(([{ status }]) => status)).toEqual([404, 404]);
  });
});

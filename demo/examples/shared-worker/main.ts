// A tab: OpenAI's client, whose requests go to the worker that all tabs of this page share.
import OpenAI from 'openai';
import type { Asked, Said } from './messages';

const model = new URL('model/', document.baseURI).href;
const worker = new SharedWorker(new URL('./shared.ts', import.meta.url), { type: 'module', name: model });
worker.port.start();

/** A `fetch` that asks the worker. */
const workerFetch: typeof fetch = async (input, init) => {
  const request = new Request(input, init);
  const { port1: port, port2 } = new MessageChannel();
  const { url, method, headers } = request;
  const asked: Asked = { url, method, headers: [...headers], body: await request.text(), port: port2 };
  const stop = (): void => {
    port.postMessage('stop');
    port.close();
  };
  return new Promise((resolve, reject) => {
    request.signal.addEventListener('abort', () => {
      stop();
      reject(request.signal.reason);
    });
    let body: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;
    port.onmessage = ({ data }: MessageEvent<Said>) => {
      if (data === undefined) {
        body.close();
        port.close();
      } else if (data instanceof Uint8Array) body.enqueue(data);
      else {
        const start = (controller: typeof body): void => {
          body = controller;
        };
        resolve(new Response(new ReadableStream({ start, cancel: stop }), data));
      }
    };
    worker.port.postMessage(asked, [port2]);
  });
};

const openai = new OpenAI({
  apiKey: 'none',
  baseURL: 'http://worker/v1',
  fetch: workerFetch,
  maxRetries: 0,
  dangerouslyAllowBrowser: true,
});
const form = document.querySelector('form')!;
const output = document.querySelector('output')!;

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  output.value = '';
  output.dataset.state = 'busy';
  try {
    const stream = await openai.chat.completions.create({
      model: 'any',
      messages: [{ role: 'user', content: String(new FormData(form).get('prompt')) }],
      max_tokens: 16,
      temperature: 0,
      stream: true,
    });
    for await (const { choices } of stream) output.value += choices[0]?.delta.content ?? '';
    output.dataset.state = 'done';
  } catch (error) {
    output.value = String(error);
    output.dataset.state = 'failed';
  }
});

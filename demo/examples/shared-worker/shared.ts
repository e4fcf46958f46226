// Runs once, however many tabs there are: it has the model, and answers what they ask as OpenAI's service would. It ends with the
// last tab, and the model with it.
import { loadModel } from 'shishulm';
import { openaiFetch } from 'shishulm/openai-fetch';
import type { Asked, Said } from './messages';

// The worker has the model's address as its name: tabs that want another have another worker. Two replies at once; further ones wait.
const loading = loadModel(self.name, { batch: 2 });

async function answer({ url, method, headers, body, port }: Asked): Promise<void> {
  const say = (said: Said): void => port.postMessage(said);
  const stop = new AbortController();
  // The tab closes the port, or goes; browsers that do not tell let the reply come to its end.
  port.onmessage = () => stop.abort();
  port.addEventListener('close', () => stop.abort());
  try {
    const ask = openaiFetch(await loading);
    const response = await ask(url, { method, headers, body, signal: stop.signal });
    say({ status: response.status, headers: [...response.headers] });
    const reader = response.body!.getReader();
    stop.signal.addEventListener('abort', () => reader.cancel());
    for (let piece = await reader.read(); !piece.done; piece = await reader.read())
      say(piece.value as Uint8Array<ArrayBuffer>);
  } catch (error) {
    say({ status: 500, headers: [['Content-Type', 'application/json']] });
    say(new TextEncoder().encode(JSON.stringify({ error: { message: String(error) } })));
  }
  say(undefined);
}

self.addEventListener('connect', (event) => {
  const [tab] = (event as MessageEvent).ports;
  tab!.onmessage = ({ data }: MessageEvent<Asked>) => void answer(data);
});

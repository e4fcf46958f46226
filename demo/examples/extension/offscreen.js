// The page with the model: answers whatever connects, in pieces.
import { loadModel } from 'shishulm';

// A folder of the extension, which need not be kept a second time; a name of a hub works as well.
const loading = loadModel(new URL('model/', location.href), { worker: true, cache: false });

chrome.runtime.onConnect.addListener((port) => {
  if (port.name !== 'model') return;
  const stop = new AbortController();
  port.onDisconnect.addListener(() => stop.abort());
  port.onMessage.addListener(async ({ messages, options }) => {
    try {
      const model = await loading;
      for await (const { text } of model.generate(messages, { ...options, signal: stop.signal }))
        port.postMessage({ text });
      port.postMessage({ done: true });
    } catch (error) {
      if (!stop.signal.aborted) port.postMessage({ error: String(error) });
    }
  });
});

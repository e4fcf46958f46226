// A Vite plugin for the pages: makes their service worker, with the list of files that it keeps.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Plugin } from 'vite';

const FILE = 'service-worker.js';

/** A worker that takes itself and what it kept away. */
const GOES = `
self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', async () => {
  for (const name of await caches.keys()) if (name.startsWith('shishulm-pages-')) await caches.delete(name);
  await self.registration.unregister();
  for (const page of await self.clients.matchAll()) page.navigate(page.url);
});
`;

/**
 * Its version follows from the files, so that only a change of them makes another.
 * @param source the worker's text, with `__VERSION__` and `__FILES__`
 * @param more files that are not of the bundle, by name, which are kept too
 */
export const serviceWorker = (source: string, more: Record<string, string>): Plugin => ({
  name: 'service-worker',
  // Without it, as in the development server, the pages register none.
  config: (_, { command }) =>
    command === 'build'
      ? { define: { 'import.meta.env.VITE_SERVICE_WORKER': JSON.stringify(`./${FILE}`) } }
      : {},
  // Where a build was served at the same address before, its worker goes.
  configureServer({ middlewares }) {
    middlewares.use(`/${FILE}`, (_, response) => {
      response.setHeader('Content-Type', 'text/javascript');
      response.end(GOES);
    });
  },
  // Behind the pages, which are put in last.
  enforce: 'post',
  async generateBundle(_, bundle) {
    const hash = createHash('sha256');
    const names = Object.keys(bundle).filter((name) => !name.endsWith('.map'));
    for (const name of names.sort()) {
      const file = bundle[name]!;
      hash.update(name).update(file.type === 'chunk' ? file.code : file.source);
    }
    for (const [name, path] of Object.entries(more)) hash.update(name).update(await readFile(path));
    const text = await readFile(source, 'utf8');
    hash.update(text);
    const files = JSON.stringify([...names, ...Object.keys(more)]).replaceAll("'", "\\'");
    this.emitFile({
      type: 'asset',
      fileName: FILE,
      source: text.replace('__VERSION__', hash.digest('hex').slice(0, 12)).replace('__FILES__', () => files),
    });
  },
});

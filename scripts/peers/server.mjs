// Serves the page, the engines and the models from this machine, and counts what was fetched.
import { createReadStream, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize, sep } from 'node:path';

const TYPES = {
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
  '.json': 'application/json',
};

const PAGE = `<!doctype html><meta charset="utf-8"><title>Side by side</title><link rel="icon" href="data:,">
<script type="importmap">{"imports":{
"shishulm":"/dist/index.js",
"@huggingface/jinja":"/node_modules/@huggingface/jinja/dist/index.js",
"@huggingface/tokenizers":"/node_modules/@huggingface/tokenizers/dist/tokenizers.min.mjs"}}</script>
<script type="module">
await import('/page/engines.js');
globalThis.ready = true;
</script>`;

/**
 * @param {Record<string, string>} folders by the first part of an address
 */
export async function serve(folders) {
  const fetched = { code: 0, model: 0 };
  const server = createServer((request, response) => {
    const path = decodeURIComponent((request.url ?? '/').split('?')[0] ?? '/');
    // Isolated: engines that run on threads of the CPU may share memory.
    response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
    response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
    response.setHeader('Cache-Control', 'no-store');
    if (path === '/') return response.setHeader('Content-Type', 'text/html').end(PAGE);
    const [, first = '', ...rest] = path.split('/');
    const folder = folders[first];
    const file = folder && normalize(join(folder, ...rest));
    const stat = file?.startsWith(folder + sep) ? statSync(file, { throwIfNoEntry: false }) : undefined;
    if (!file || !stat?.isFile()) return response.writeHead(404).end();
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
    const start = Number(from ?? 0);
    const end = Math.min(to ? Number(to) + 1 : stat.size, stat.size);
    if (start >= end && stat.size > 0) return response.writeHead(416).end();
    response.writeHead(from === undefined ? 200 : 206, {
      'Content-Type': TYPES[/** @type {keyof typeof TYPES} */ (extname(file))] ?? 'application/octet-stream',
      'Content-Length': end - start,
      'Accept-Ranges': 'bytes',
      ...(from !== undefined && { 'Content-Range': `bytes ${start}-${end - 1}/${stat.size}` }),
    });
    if (request.method === 'HEAD') return response.end();
    const kind = first === 'models' ? 'model' : 'code';
    createReadStream(file, { start, end: Math.max(start, end - 1) })
      .on('data', (piece) => {
        fetched[kind] += piece.length;
      })
      .on('error', () => response.destroy())
      .pipe(response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  return {
    url: `http://127.0.0.1:${port}/`,
    /** Bytes since this was called last. */
    take() {
      const taken = { ...fetched };
      fetched.code = 0;
      fetched.model = 0;
      return taken;
    },
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

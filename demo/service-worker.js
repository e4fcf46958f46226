// Serves the pages where there is no network. The build puts in the version and the files; models are kept by the engine.
const VERSION = '__VERSION__';
/** @type {string[]} */
const FILES = JSON.parse('__FILES__');
const NAME = 'shishulm-pages-';
const scope = self;
const root = new URL('./', scope.location.href);
const addresses = new Set(FILES.map((file) => new URL(file, root).href));

scope.addEventListener('install', (event) => {
  const fetchAll = async () => {
    const cache = await caches.open(NAME + VERSION);
    await cache.addAll(FILES.map((file) => new Request(new URL(file, root), { cache: 'reload' })));
  };
  event.waitUntil(fetchAll());
});

scope.addEventListener('activate', (event) => {
  const takeOver = async () => {
    const open = await scope.clients.matchAll({ includeUncontrolled: true });
    // Pages of an older version that are still open may want its files; they go with the next change.
    if (open.length < 2)
      for (const name of await caches.keys())
        if (name.startsWith(NAME) && name !== NAME + VERSION) await caches.delete(name);
    await scope.clients.claim();
  };
  event.waitUntil(takeOver());
});

// The page asks, when the reader does.
scope.addEventListener('message', ({ data }) => {
  if (data === 'take-over') void scope.skipWaiting();
});

scope.addEventListener('fetch', (event) => {
  const url = new URL(event.request.url);
  // What a page is asked with is for the page itself.
  url.search = '';
  if (url.href === root.href) url.pathname += 'index.html';
  if (event.request.method !== 'GET' || !addresses.has(url.href) || event.request.headers.has('Range'))
    return;
  const answer = async () => {
    const own = await caches.open(NAME + VERSION);
    return (await own.match(url.href)) ?? (await caches.match(url.href)) ?? fetch(event.request);
  };
  event.respondWith(answer());
});

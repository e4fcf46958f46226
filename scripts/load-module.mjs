// Loads a module through Vite, which reads the shaders as the engine's builds do.
import { createServer } from 'vite';

/**
 * @template T
 * @param {string} path from the root of the repository
 * @param {(module: any) => T | Promise<T>} use
 * @returns {Promise<T>}
 */
export async function withModule(path, use) {
  const server = await createServer({
    root: new URL('..', import.meta.url).pathname,
    configFile: false,
    logLevel: 'error',
    appType: 'custom',
    optimizeDeps: { noDiscovery: true },
    server: { middlewareMode: true, watch: null, ws: false, hmr: false },
  });
  try {
    return await use(await server.ssrLoadModule(path));
  } finally {
    await server.close();
  }
}

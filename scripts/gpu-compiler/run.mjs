// Starts check.ts through Vite, which reads the shaders as the engine's builds do.
import { createServer } from 'vite';

const server = await createServer({
  root: new URL('../..', import.meta.url).pathname,
  configFile: false,
  logLevel: 'error',
  appType: 'custom',
  optimizeDeps: { noDiscovery: true },
  server: { middlewareMode: true, watch: null, ws: false, hmr: false },
});
let status = 1;
try {
  const { check } = await server.ssrLoadModule('/scripts/gpu-compiler/check.ts');
  status = await check(process.argv.slice(2));
} catch (error) {
  console.error(/** @type {Error} */ (error).message);
}
await server.close();
process.exit(status);

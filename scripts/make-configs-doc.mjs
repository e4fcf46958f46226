// Writes the section on published configs of docs/models.md: node scripts/make-configs-doc.mjs
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'vite';

const root = new URL('..', import.meta.url);
// Vite reads the shaders as the engine's builds do.
const server = await createServer({
  root: root.pathname,
  configFile: false,
  logLevel: 'error',
  appType: 'custom',
  optimizeDeps: { noDiscovery: true },
  server: { middlewareMode: true, watch: null, ws: false, hmr: false },
});
try {
  const { publishedSection } = await server.ssrLoadModule('/scripts/published-configs.ts');
  const models = JSON.parse(readFileSync(new URL('test/fixtures/published-configs.json', root), 'utf8'));
  const doc = new URL('docs/models.md', root);
  const sections = readFileSync(doc, 'utf8').split(/^(?=## )/m);
  const others = sections.filter((each) => !each.startsWith('## Published configs'));
  const after = others.findIndex((each) => each.startsWith('## Families')) + 1;
  writeFileSync(doc, others.toSpliced(after, 0, publishedSection(models)).join(''));
} finally {
  await server.close();
}

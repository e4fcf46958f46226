// Writes the section on published configs of docs/models.md: node scripts/make-configs-doc.mjs
import { readFileSync, writeFileSync } from 'node:fs';
import { withModule } from './load-module.mjs';

const root = new URL('..', import.meta.url);
await withModule('/scripts/published-configs.ts', ({ publishedSection }) => {
  const models = JSON.parse(readFileSync(new URL('test/fixtures/published-configs.json', root), 'utf8'));
  const doc = new URL('docs/models.md', root);
  const sections = readFileSync(doc, 'utf8').split(/^(?=## )/m);
  const others = sections.filter((each) => !each.startsWith('## Published configs'));
  const after = others.findIndex((each) => each.startsWith('## Families')) + 1;
  writeFileSync(doc, others.toSpliced(after, 0, publishedSection(models)).join(''));
});

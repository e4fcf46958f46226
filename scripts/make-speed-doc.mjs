// Writes docs/speed.md: node scripts/make-speed-doc.mjs
import { writeFileSync } from 'node:fs';
import { withModule } from './load-module.mjs';

const text = await withModule('/scripts/speed-doc.ts', ({ speedDoc }) => speedDoc());
writeFileSync(new URL('../docs/speed.md', import.meta.url), text);

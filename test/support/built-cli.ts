import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'vite';

const root = join(import.meta.dirname, '../..');

/** Builds the command apart from dist, which other tests may build; packages are found from there as from here. */
export async function buildCli(name: string): Promise<string> {
  const home = join(root, 'node_modules/.cache', name);
  await build({ root, mode: 'cli', logLevel: 'error', build: { outDir: join(home, 'dist') } });
  cpSync(join(root, 'package.json'), join(home, 'package.json'));
  return join(home, 'dist/cli.js');
}

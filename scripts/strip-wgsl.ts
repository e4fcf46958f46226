// A Vite plugin for builds: shaders go into the bundle without comments and indentation.
import { readFile } from 'node:fs/promises';
import type { Plugin } from 'vite';

/** Line breaks stay, so that compile errors name the lines of the file. WGSL has no strings that hold `//`. */
export const stripWgsl = (text: string): string =>
  text
    .split('\n')
    .map((line) => line.replace(/\/\/.*$/, '').trim())
    .join('\n')
    .trimEnd();

export const stripShaders = (): Plugin => ({
  name: 'strip-shaders',
  enforce: 'pre',
  apply: 'build',
  load: {
    filter: { id: /\.wgsl\?raw$/ },
    handler: async (id) =>
      `export default ${JSON.stringify(stripWgsl(await readFile(id.slice(0, -'?raw'.length), 'utf8')))}`,
  },
});

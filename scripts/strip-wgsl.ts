// A Vite plugin for builds: shaders go into the bundle without comments, indentation and spaces around operators.
import { readFile } from 'node:fs/promises';
import type { Plugin } from 'vite';

/**
 * Line breaks stay, so that compile errors name the lines of the file. WGSL has no strings that hold `//`; `a - -b` would
 * become another operator.
 */
export const stripWgsl = (text: string): string =>
  text
    .split('\n')
    .map((line) =>
      line
        .replace(/\/\/.*$/, '')
        .trim()
        .replace(/ ?([,;:=+*/<>(){}|&-]) ?/g, '$1'),
    )
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

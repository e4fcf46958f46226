import { join } from 'node:path';
import { defineConfig, type UserConfig } from 'vite';

const demo = join(import.meta.dirname, 'demo');
const target = 'es2023';

/** `vite build --mode lib`: the package. Its dependencies stay imports, for the user's bundler or import map. */
const lib: UserConfig = {
  base: './',
  publicDir: false,
  worker: { format: 'es' },
  build: {
    target,
    outDir: 'dist',
    sourcemap: true,
    lib: { entry: { index: 'src/index.ts' }, formats: ['es'] },
    rolldownOptions: { external: [/^@huggingface\//, /^@jax-js\//] },
  },
};

/** `vite build --mode cli`: the command, for Node; shaders are inlined, packages stay imports. */
const cli: UserConfig = {
  publicDir: false,
  build: {
    target: 'node20',
    outDir: 'dist',
    emptyOutDir: false,
    ssr: 'src/cli.ts',
    rolldownOptions: { output: { entryFileNames: 'cli.js', banner: '#!/usr/bin/env node' } },
  },
};

/** `vite --mode demo` and `vite build --mode demo`: the pages. */
const pages: UserConfig = {
  root: demo,
  base: './',
  worker: { format: 'es' },
  server: { fs: { allow: ['..'] } },
  build: {
    target,
    outDir: '../dist-demo',
    emptyOutDir: true,
    rolldownOptions: { input: ['index', 'bench', 'train'].map((page) => join(demo, `${page}.html`)) },
  },
};

const modes: Record<string, UserConfig> = { lib, cli, demo: pages };

export default defineConfig(({ mode }) => modes[mode] ?? {});

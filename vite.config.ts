import { join } from 'node:path';
import { defineConfig, type UserConfig } from 'vite';
import { groupChunks } from './scripts/group-chunks.ts';
import { reportSize } from './scripts/report-size.ts';
import { serviceWorker } from './scripts/service-worker.ts';
import { stripShaders } from './scripts/strip-wgsl.ts';

const demo = join(import.meta.dirname, 'demo');
const target = 'es2023';

/**
 * `vite build --mode lib`: the package. Its dependencies stay imports, for the user's bundler or import map; the worker,
 * which import maps do not reach, is one file with all it needs.
 */
const lib: UserConfig = {
  base: './',
  publicDir: false,
  plugins: [stripShaders(), groupChunks(), reportSize()],
  worker: {
    format: 'es',
    plugins: () => [stripShaders()],
    rolldownOptions: { output: { entryFileNames: '[name].js', codeSplitting: false } },
  },
  build: {
    target,
    outDir: 'dist',
    sourcemap: true,
    lib: {
      entry: {
        index: 'src/index.ts',
        openai: 'src/api/openai.ts',
        'openai-fetch': 'src/doors/openai-fetch.ts',
        'ai-sdk': 'src/doors/ai-sdk.ts',
        langchain: 'src/doors/langchain.ts',
        'prompt-api': 'src/doors/prompt-api.ts',
        convert: 'src/convert/index.ts',
        bench: 'src/bench.ts',
      },
      formats: ['es'],
    },
    rolldownOptions: {
      external: [/^@huggingface\//, /^@langchain\//],
      output: {
        chunkFileNames: 'chunks/[name]-[hash].js',
        minify: { compress: true, mangle: true, codegen: true },
      },
    },
  },
};

/** `vite build --mode cli`: the command, for Node; shaders are inlined, packages stay imports. */
const cli: UserConfig = {
  publicDir: false,
  build: {
    target: 'node20',
    outDir: 'dist',
    emptyOutDir: false,
    ssr: 'bin/shishulm.ts',
    rolldownOptions: {
      output: {
        entryFileNames: 'cli.js',
        chunkFileNames: 'cli/[name]-[hash].js',
        banner: '#!/usr/bin/env node',
      },
    },
  },
};

/** `vite --mode demo` and `vite build --mode demo`: the pages. */
const pages: UserConfig = {
  root: demo,
  base: './',
  plugins: [
    serviceWorker(
      join(demo, 'service-worker.js'),
      Object.fromEntries(
        ['app.webmanifest', 'icon-192.png', 'icon-512.png', 'models/models.json'].map((file) => [
          file,
          join(demo, 'public', file),
        ]),
      ),
    ),
  ],
  worker: { format: 'es' },
  server: { fs: { allow: ['..'] } },
  build: {
    target,
    outDir: '../dist-demo',
    emptyOutDir: true,
    rolldownOptions: {
      input: ['index', 'bench', 'train', 'convert'].map((page) => join(demo, `${page}.html`)),
    },
  },
};

const modes: Record<string, UserConfig> = { lib, cli, demo: pages };

export default defineConfig(({ mode }) => modes[mode] ?? {});

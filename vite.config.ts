import { join } from 'node:path';
import { defineConfig, type Rolldown, type UserConfig } from 'vite';
import { reportSize } from './scripts/report-size.ts';
import { stripShaders } from './scripts/strip-wgsl.ts';

const demo = join(import.meta.dirname, 'demo');
const target = 'es2023';

/** A module and all that it imports statically. */
function closureOf(entry: string, context: Rolldown.ChunkingContext): Set<string> {
  const all = new Set<string>();
  const add = (id: string): void => {
    if (all.has(id)) return;
    all.add(id);
    for (const imported of context.getModuleInfo(id)?.importedIds ?? []) add(imported);
  };
  add(join(import.meta.dirname, 'src', entry));
  return all;
}

let closures: { engine: Set<string>; page: Set<string> } | undefined;

/**
 * What a loaded model needs from the start stays in one file, whoever else uses some of it: small files, each compressed by
 * itself, take more bytes. A page whose models run in a worker must do without it.
 */
function chunkOf(id: string, context: Rolldown.ChunkingContext): string | null {
  closures ??= {
    engine: closureOf('engine/engine.ts', context),
    page: new Set(
      ['index.ts', 'api/remote.ts', 'api/openai.ts'].flatMap((entry) => [...closureOf(entry, context)]),
    ),
  };
  if (!closures.engine.has(id)) return null;
  return closures.page.has(id) ? 'common' : 'engine';
}

/**
 * `vite build --mode lib`: the package. Its dependencies stay imports, for the user's bundler or import map; the worker,
 * which import maps do not reach, is one file with all it needs.
 */
const lib: UserConfig = {
  base: './',
  publicDir: false,
  plugins: [stripShaders(), reportSize()],
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
        convert: 'src/convert/index.ts',
        bench: 'src/bench.ts',
      },
      formats: ['es'],
    },
    rolldownOptions: {
      external: [/^@huggingface\//, /^@jax-js\//],
      output: {
        chunkFileNames: 'chunks/[name]-[hash].js',
        minify: { compress: true, mangle: true, codegen: true },
        codeSplitting: {
          groups: [{ name: chunkOf }],
        },
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

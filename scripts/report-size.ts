// A Vite plugin for the build of the package: prints what a page downloads of it, gzipped, dependencies apart.
import { gzipSync } from 'node:zlib';
import type { Plugin, Rolldown } from 'vite';

const ENGINE = ['src/index.ts', 'src/engine/engine.ts', 'src/engine/estimate.ts', 'src/api/crash-notes.ts'];

/** Uses of the package, by the modules that they fetch; what those import statically comes with them. */
const USES: Record<string, readonly string[]> = {
  'engine (loadModel, estimate)': ENGINE,
  'engine, chat': [...ENGINE, 'src/api/openai.ts'],
  'engine, constraints': [...ENGINE, 'src/engine/mask-cache.ts'],
  'page of a model in a worker': ['src/index.ts', 'src/api/remote.ts'],
  'convert, with the engine': ['src/convert/index.ts'],
  'bench, with the engine': ['src/bench.ts'],
};

const gzipped = (code: string | Uint8Array): number => gzipSync(code).length;

export const reportSize = (): Plugin => ({
  name: 'report-size',
  apply: 'build',
  writeBundle(_, bundle) {
    const files = Object.values(bundle);
    const chunks = files.filter((file): file is Rolldown.OutputChunk => file.type === 'chunk');
    const bytesOf = (modules: readonly string[]): number => {
      const needed = new Set<Rolldown.OutputChunk>();
      const need = (chunk: Rolldown.OutputChunk | undefined): void => {
        if (!chunk || needed.has(chunk)) return;
        needed.add(chunk);
        for (const name of chunk.imports) need(chunks.find(({ fileName }) => fileName === name));
      };
      for (const module of modules)
        need(chunks.find(({ moduleIds }) => moduleIds.some((id) => id.endsWith(`/${module}`))));
      return [...needed].reduce((sum, { code }) => sum + gzipped(code), 0);
    };
    const lines = Object.entries(USES).map(([use, modules]) => [use, bytesOf(modules)] as const);
    const worker = files.find(({ fileName }) => fileName === 'worker.js');
    if (worker?.type === 'asset') lines.push(['worker.js, with the tokenizer', gzipped(worker.source)]);
    console.log('\nBytes, gzipped, without the tokenizer packages:');
    for (const [use, bytes] of lines) console.log(`${use.padEnd(32)}${String(bytes).padStart(8)}`);
  },
});

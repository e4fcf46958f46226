// A Vite plugin for the build of the package: the engine is one file, and what pages share with it another. Left to itself, the
// bundler gives each set of entries that share modules a file of its own: twenty small ones, all fetched by every page.
import type { Plugin, Rolldown } from 'vite';

const ENGINE = ['src/engine/engine.ts'];
/** What pages fetch without the engine, where that is in a worker. */
const PAGES = [
  'src/api/crash-notes.ts',
  'src/index.ts',
  'src/api/remote.ts',
  'src/api/chat.ts',
  'src/api/openai.ts',
  'src/api/embeddings.ts',
];

export function groupChunks(): Plugin {
  const groups = new Map<string, 'engine' | 'common'>();
  /** Modules that come with these, by static imports. */
  const reached = (context: Rolldown.PluginContext, ends: readonly string[]): Set<string> => {
    const found = new Set(
      [...context.getModuleIds()].filter((id) => ends.some((end) => id.endsWith(`/${end}`))),
    );
    for (const id of found)
      for (const next of context.getModuleInfo(id)?.importedIds ?? [])
        if (!next.includes('@huggingface')) found.add(next);
    return found;
  };
  return {
    name: 'group-chunks',
    apply: 'build',
    outputOptions: (output) => ({
      ...output,
      codeSplitting: {
        groups: (['common', 'engine'] as const).map((name) => ({
          name,
          priority: name === 'common' ? 1 : 0,
          test: (id) => groups.get(id) === name,
        })),
      },
    }),
    buildEnd() {
      const ofPages = reached(this, PAGES);
      for (const id of reached(this, ENGINE)) groups.set(id, ofPages.has(id) ? 'common' : 'engine');
    },
  };
}

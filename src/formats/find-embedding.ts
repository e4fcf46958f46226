import { importModule } from '../lazy.ts';
import type { EmbeddingFiles } from './embedding-files.ts';
import { readOptional, type Source } from './source.ts';

async function find(source: Source, signal?: AbortSignal): Promise<EmbeddingFiles | undefined> {
  const bytes = await readOptional(source, 'modules.json', signal);
  if (!bytes) return undefined;
  const { readEmbeddingFiles } = await importModule(() => import('./embedding-files.ts'));
  return readEmbeddingFiles(source, bytes, signal);
}

/**
 * Reads `modules.json` and what it names; undefined where a model has none.
 * @returns what tells it; it throws what is wrong with the files, which is for those who ask: ShishuError `bad-config`,
 * `unsupported` for a module that would change the vectors, `io`
 */
export const embeddingFilesOf = (
  source: Source,
  signal?: AbortSignal,
): Promise<() => EmbeddingFiles | undefined> =>
  find(source, signal).then(
    (files) => () => files,
    (error) => () => {
      throw error;
    },
  );

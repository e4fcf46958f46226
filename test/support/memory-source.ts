import { openSource } from '../../src/formats/open-source.ts';
import type { Source } from '../../src/formats/source.ts';

/** A model folder in memory: texts and bytes by file name. */
export function memorySource(files: Readonly<Record<string, string | Uint8Array>>, name = 'memory'): Source {
  const bytesOf = (file: string): Uint8Array | undefined => {
    const content = Object.hasOwn(files, file) ? files[file] : undefined;
    return typeof content === 'string' ? new TextEncoder().encode(content) : content;
  };
  return openSource({
    name,
    read: (file, start, end) => bytesOf(file)?.slice(start, end),
    size: (file) => bytesOf(file)?.length ?? null,
  });
}

import { openSource } from '../formats/open-source.ts';
import { type Staged, WORK_FILES } from './staged.ts';

/** A folder that stays in memory. */
export function stageMemory(name: string): Staged {
  const files = new Map<string, Uint8Array>();
  return {
    source: openSource({
      name,
      read: (file, start, end) => files.get(file)?.slice(start, end),
      size: (file) => files.get(file)?.length ?? null,
    }),
    async write(file, data) {
      const pieces: Uint8Array[] = [];
      const whole = typeof data === 'string' ? new TextEncoder().encode(data) : data;
      for await (const piece of whole instanceof Uint8Array ? [whole] : whole) pieces.push(piece);
      files.set(file, new Uint8Array(await new Blob(pieces as BlobPart[]).arrayBuffer()));
    },
    async commit() {
      for (const file of WORK_FILES) files.delete(file);
    },
    async discard() {
      files.clear();
    },
  };
}

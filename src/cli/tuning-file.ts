import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { TuningStore } from '../engine/kept-tuning.ts';
import { cacheFolder } from './user-folder.ts';

/** Keeps choices of `tune` in one JSON file. */
export function tuningFile(path = join(cacheFolder(), 'tuning.json')): TuningStore {
  const all = async (): Promise<Record<string, unknown>> => {
    const found: unknown = JSON.parse(await readFile(path, 'utf8').catch(() => '{}'));
    return typeof found === 'object' && found !== null ? { ...found } : {};
  };
  return {
    get: async (key) => (await all())[key],
    async set(key, choice) {
      const next = { ...(await all().catch(() => ({}))), [key]: choice };
      await mkdir(dirname(path), { recursive: true });
      // Whole or not at all, whoever reads beside.
      const draft = `${path}.${process.pid}`;
      await writeFile(draft, `${JSON.stringify(next, null, 1)}\n`);
      await rename(draft, path);
    },
  };
}

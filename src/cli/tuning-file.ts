import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TuningStore } from '../engine/kept-tuning.ts';

/** The user's folder for what can be made again. */
function cacheFolder(): string {
  const { XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  if (XDG_CACHE_HOME) return XDG_CACHE_HOME;
  if (process.platform === 'darwin') return join(homedir(), 'Library/Caches');
  return process.platform === 'win32' && LOCALAPPDATA ? LOCALAPPDATA : join(homedir(), '.cache');
}

/** Keeps choices of `tune` in one JSON file. */
export function tuningFile(path = join(cacheFolder(), 'shishulm/tuning.json')): TuningStore {
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

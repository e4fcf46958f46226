import { homedir } from 'node:os';
import { join } from 'node:path';

/** The command's own folder for what can be made or fetched again. */
export function cacheFolder(): string {
  const { XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  const base = (): string => {
    if (XDG_CACHE_HOME) return XDG_CACHE_HOME;
    if (process.platform === 'darwin') return join(homedir(), 'Library/Caches');
    return process.platform === 'win32' && LOCALAPPDATA ? LOCALAPPDATA : join(homedir(), '.cache');
  };
  return join(base(), 'shishulm');
}

// Finds naga, the shader compiler of Firefox; installs it where cargo is. `node scripts/find-naga.mjs` prints its path.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

const VERSION = '30.0.1';
/** Kept for other checkouts too: building it takes minutes. */
const ROOT = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'shishulm', `naga-${VERSION}`);

/** @param {string} path */
function isRight(path) {
  try {
    return execFileSync(path, ['--version'], { encoding: 'utf8' }).trim().endsWith(VERSION);
  } catch {
    return false;
  }
}

/** @returns {string} the path of naga, of the version that the tests are for */
export function findNaga({ install = false } = {}) {
  const given = process.env.NAGA_PATH;
  if (given && !existsSync(given)) throw new Error(`NAGA_PATH=${given} does not exist`);
  if (given) return given;
  const look = () =>
    [join(ROOT, 'bin'), ...(process.env.PATH ?? '').split(delimiter)]
      .map((folder) => join(folder, process.platform === 'win32' ? 'naga.exe' : 'naga'))
      .find((path) => existsSync(path) && isRight(path));
  const found = look();
  if (found) return found;
  const command = `cargo install naga-cli --version ${VERSION} --locked --root ${ROOT}`;
  if (!install) throw new Error(`naga ${VERSION} is missing. Install it: ${command}`);
  console.error(`+ ${command}`);
  const args = ['install', 'naga-cli', '--version', VERSION, '--locked', '--root', ROOT];
  const { status, error } = spawnSync('cargo', args, { stdio: ['ignore', 2, 2] });
  const made = look();
  if (error || status !== 0 || !made)
    throw new Error(`naga ${VERSION} is missing and could not be installed.`);
  return made;
}

if (import.meta.filename === process.argv[1])
  console.log(findNaga({ install: !process.argv.includes('--no-install') }));

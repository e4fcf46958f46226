// Finds a Firefox; installs Debian's when there is none. `node scripts/find-firefox.mjs` prints its path.
import { installDebian, isFile, onPath } from './find-browser.mjs';

/** What makes Firefox offer WebGPU, in workers too, also where it does not trust the driver: a software one, say. */
export const firefoxPrefs = {
  'dom.webgpu.enabled': true,
  'dom.webgpu.workers.enabled': true,
  'gfx.webgpu.ignore-blocklist': true,
};

const known = [
  '/usr/bin/firefox-esr',
  '/usr/bin/firefox',
  '/Applications/Firefox.app/Contents/MacOS/firefox',
  'C:\\Program Files\\Mozilla Firefox\\firefox.exe',
];

/** @returns {Promise<string>} */
export async function findFirefox({ install = true } = {}) {
  const given = process.env.FIREFOX_PATH;
  if (given && !isFile(given)) throw new Error(`FIREFOX_PATH=${given} does not exist`);
  if (given) return given;
  const look = () => known.find(isFile) ?? onPath(['firefox-esr', 'firefox']);
  let found = look();
  if (found || !install) {
    if (!found) throw new Error('No Firefox found; set FIREFOX_PATH.');
    return found;
  }
  installDebian('firefox-esr');
  found = look();
  if (!found) throw new Error('No Firefox found and none could be installed; set FIREFOX_PATH.');
  return found;
}

if (import.meta.filename === process.argv[1]) {
  console.log(await findFirefox({ install: !process.argv.includes('--no-install') }));
}

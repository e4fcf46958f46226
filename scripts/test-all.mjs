// `npm run test:all`: every lane of the tests. Nothing is skipped for want of a tool: what is missing is installed, or fails the run.
import { spawnSync } from 'node:child_process';
import { findBrowser } from './find-browser.mjs';
import { findFirefox } from './find-firefox.mjs';
import { findNaga } from './find-naga.mjs';

/** Runs a command. @param {string} command @param {string[]} args @param {Record<string, string>} [env] */
function run(command, args, env = {}) {
  const begun = Date.now();
  console.log(`+ ${command} ${args.join(' ')}`);
  const { status } = spawnSync(command, args, { stdio: 'inherit', env: { ...process.env, ...env } });
  console.log(`${command} ${args.join(' ')}: ${Math.round((Date.now() - begun) / 1000)} s`);
  return status === 0;
}

await findBrowser();
await findFirefox();
findNaga({ install: true });
if (!run('python3', ['scripts/get-smollm2.py'])) process.exit(1);
if (!run('npm', ['run', '-s', 'check'])) process.exit(1);
// The tests come last: their counts close what is printed.
const compiled = run('npm', ['run', '-s', 'check:gpu']);
const passed = run('npx', ['vitest', 'run', '--mode', 'full', ...process.argv.slice(2)], {
  EXPECT_MODELS: 'smollm2',
});
if (!compiled) console.error('npm run check:gpu failed: see its table above.');
process.exit(compiled && passed ? 0 : 1);

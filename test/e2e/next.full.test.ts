// The Next.js example, installed from the npm registry with the packed package, built for production and opened.
import { execFile, spawn } from 'node:child_process';
import { cp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launchBrowser } from '../support/browser.ts';
import { type Packed, packPackage } from '../support/packed.ts';

const exec = promisify(execFile);
const root = join(import.meta.dirname, '../..');

let packed: Packed;
beforeAll(async () => {
  packed = await packPackage();
}, 180_000);
afterAll(() => rm(packed.home, { recursive: true }));

/** A port that is free now. */
const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });

test('a client component answers, in the page and in a worker', async () => {
  const folder = join(packed.home, 'next');
  await cp(join(root, 'demo/examples/next'), folder, { recursive: true });
  await cp(join(root, 'demo/public/models/child'), join(folder, 'public/model'), { recursive: true });
  const tarball = join(packed.home, 'shishulm.tgz');
  await writeFile(tarball, packed.tarball);
  const options = { cwd: folder, env: { ...process.env, NEXT_TELEMETRY_DISABLED: '1', CI: '1' } };
  await exec('npm', ['install', '--no-audit', '--no-fund', tarball], options);
  await exec('npm', ['run', 'build'], options);
  const port = await freePort();
  const server = spawn(process.execPath, ['node_modules/next/dist/bin/next', 'start', '-p', `${port}`], {
    ...options,
    stdio: 'ignore',
  });
  const browser = await launchBrowser();
  try {
    const url = `http://127.0.0.1:${port}/`;
    for (let tries = 0; tries < 100; tries++) {
      if (await fetch(url).catch(() => undefined)) break;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const answers: string[] = [];
    for (const worker of [false, true]) {
      const page = await browser.newPage();
      const fetched: string[] = [];
      page.on('request', (request) => fetched.push(request.url()));
      await page.goto(url, { waitUntil: 'networkidle' });
      const first = fetched.length;
      await page.getByLabel('in a worker').setChecked(worker);
      await page.getByRole('button').click();
      await page.locator('output[data-state=done], output[data-state=failed]').waitFor({ timeout: 120_000 });
      answers.push((await page.locator('output').textContent())!);
      // The package is no part of the first load.
      expect(fetched.length).toBeGreaterThan(first);
      await page.close();
    }
    expect(answers[0]).toMatch(/^[A-Z][A-Za-z ,.'!?-]{9,}/);
    expect(answers[1]).toBe(answers[0]);
  } finally {
    await browser.close();
    server.kill();
  }
}, 300_000);

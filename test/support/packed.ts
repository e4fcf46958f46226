// The package as its users get it: built, packed, and unpacked into a folder of its own. Needs no network.
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const root = join(import.meta.dirname, '../..');
const exec = promisify(execFile);

/** What examples import beside the package. */
const LIBRARIES = ['@huggingface', '@ai-sdk', '@langchain', 'ai', 'openai', 'react', 'react-dom', 'vite'];
/** The examples that need no library but those. */
const EXAMPLES = ['plain', 'vite', 'doors', 'shared-worker', 'extension'];

export interface Packed {
  /** Folder with `node_modules/shishulm` and its dependencies, and copies of demo/examples, each with `model/`. */
  home: string;
  tarball: Uint8Array<ArrayBuffer>;
  /** Paths in the package. */
  files: string[];
  /** What the build printed. */
  log: string;
}

/** Builds into dist/ as `npm run build` does, and packs that. */
export async function packPackage(): Promise<Packed> {
  const home = await mkdtemp(join(tmpdir(), 'packed-'));
  const { stdout: log } = await exec('npm', ['run', 'build'], { cwd: root });
  const pack = ['pack', '--json', '--ignore-scripts', '--pack-destination', home];
  const { stdout } = await exec('npm', pack, { cwd: root });
  const [{ filename, files }] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }];

  const modules = join(home, 'node_modules');
  await mkdir(join(modules, 'shishulm'), { recursive: true });
  await exec('tar', ['-xzf', join(home, filename), '-C', join(modules, 'shishulm'), '--strip-components=1']);
  for (const name of LIBRARIES) await symlink(join(root, 'node_modules', name), join(modules, name));
  const model = join(root, 'demo/public/models/child');
  for (const name of EXAMPLES) {
    const example = join(home, name);
    await cp(join(root, 'demo/examples', name), example, { recursive: true });
    await symlink(modules, join(example, 'node_modules'));
    await cp(model, join(example, name === 'plain' ? 'model' : 'public/model'), { recursive: true });
  }
  return {
    home,
    tarball: new Uint8Array(await readFile(join(home, filename))),
    files: files.map(({ path }) => path),
    log,
  };
}

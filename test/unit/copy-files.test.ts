import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { copyFiles } from '../../src/convert/copy-files.ts';
import { stageFolder } from '../../src/convert/folder.ts';
import { stageMemory } from '../../src/convert/memory-folder.ts';
import { openFolder } from '../../src/formats/node-folder.ts';
import { openSource } from '../../src/formats/open-source.ts';

const TEMPLATE = 'additional_chat_templates/tool_use.jinja';
/** A child's files; the last ones are of work under way, and what says that a folder is complete. */
const FILES: Record<string, string> = {
  'config.json': '{}',
  'model.safetensors': 'weights',
  [TEMPLATE]: '{{ tools }}',
  'conversion.json': '{}',
  'report.json': '{}',
};
const COPIED = ['config.json', 'model.safetensors', TEMPLATE];

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

async function onDisk(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'copy-'));
  folders.push(folder);
  await mkdir(join(folder, 'child/additional_chat_templates'), { recursive: true });
  for (const [file, text] of Object.entries(FILES)) await writeFile(join(folder, 'child', file), text);
  return folder;
}

/** A folder as browsers give it. */
function handleOf(files: Record<string, string>, name = 'child'): FileSystemDirectoryHandle {
  const missing = (): never => {
    throw new DOMException('It is not there.', 'NotFoundError');
  };
  const inside = (folder: string): Record<string, string> =>
    Object.fromEntries(
      Object.entries(files).flatMap(([path, text]) =>
        path.startsWith(`${folder}/`) ? [[path.slice(folder.length + 1), text]] : [],
      ),
    );
  return {
    kind: 'directory',
    name,
    async *entries() {
      for (const first of new Set(Object.keys(files).map((path) => path.split('/')[0]!)))
        yield [first, first in files ? { kind: 'file' } : handleOf(inside(first), first)];
    },
    getDirectoryHandle: async (folder: string) => handleOf(inside(folder), folder),
    getFileHandle: async (file: string) =>
      file in files ? { getFile: async () => new File([files[file]!], file) } : missing(),
  } as unknown as FileSystemDirectoryHandle;
}

it('takes folders inside a child along, from a disk to a disk', async () => {
  const folder = await onDisk();
  const staged = await stageFolder(join(folder, 'next'), { force: false });
  await copyFiles(await openFolder(join(folder, 'child')), staged, undefined);
  for (const file of COPIED)
    expect(new TextDecoder().decode(await staged.source.read(file))).toBe(FILES[file]);
  for (const file of ['conversion.json', 'report.json'])
    await expect(staged.source.read(file)).rejects.toMatchObject({ code: 'not-found' });
});

it.each([
  ['a directory handle', () => handleOf(FILES)],
  ['one that was opened', () => openSource(handleOf(FILES))],
  [
    'files',
    () =>
      Object.entries(FILES).map(([path, text]) =>
        Object.defineProperty(new File([text], path), 'webkitRelativePath', { value: `child/${path}` }),
      ),
  ],
])('and from %s', async (_, child) => {
  const staged = stageMemory('next');
  await copyFiles(openSource(child()), staged, undefined);
  for (const file of COPIED)
    expect(new TextDecoder().decode(await staged.source.read(file))).toBe(FILES[file]);
  await expect(staged.source.read('report.json')).rejects.toMatchObject({ code: 'not-found' });
});

it('refuses storage that cannot tell its files', async () => {
  const child = openSource({ name: 'some storage', read: () => undefined });
  await expect(copyFiles(child, stageMemory('next'), undefined)).rejects.toMatchObject({
    code: 'bad-argument',
    message: expect.stringContaining('some storage'),
  });
});

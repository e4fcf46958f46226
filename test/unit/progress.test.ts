// What a conversion keeps of its stages, and when it is another conversion's.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { stageFolder } from '../../src/convert/folder.ts';
import { stageMemory } from '../../src/convert/memory-folder.ts';
import { freshOf } from '../../src/convert/mixture.ts';
import { Progress } from '../../src/convert/progress.ts';
import { PROGRESS_FILE } from '../../src/convert/staged.ts';
import { countTokens } from '../../src/convert/windows.ts';

const folder = mkdtempSync(join(tmpdir(), 'progress-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);

describe('stages', () => {
  it('that are done are not done again, and their files go when the folder is in its place', async () => {
    const identity = { layers: [1, 2], text: undefined };
    const staged = await stageFolder(at('out'), { force: false });
    const first = await Progress.open(staged, identity);
    expect(first.keeps).toBe(false);
    await first.stage('quick', async () => 0);
    expect([first.staysFor(undefined), first.staysFor(AbortSignal.abort())]).toEqual([false, true]);
    expect(await first.stage('one', async () => ({ value: 1 }), { keeps: true })).toEqual({ value: 1 });
    expect(first.keeps).toBe(true);
    await staged.write('config.json', '{}');

    const again = await Progress.open(await stageFolder(at('out'), { force: false }), identity);
    expect(again.keeps).toBe(true);
    const never = async (): Promise<never> => {
      throw new Error('It is done again.');
    };
    expect(await again.stage('one', never)).toEqual({ value: 1 });
    await expect(again.stage('two', never)).rejects.toThrow('done again');
    expect(again.get('two')).toBeUndefined();
    await again.staged.commit();
    expect(readdirSync(at('out'))).toEqual(['config.json']);
    expect(readdirSync(folder)).toEqual(['out']);
  });

  it('of another conversion are refused by what differs', async () => {
    const staged = await stageFolder(at('other'), { force: false });
    const progress = await Progress.open(staged, { layers: [1], linear: true });
    progress.check({ text: 5 });
    await progress.set('one', 1);
    const open = (identity: Record<string, unknown>) => Progress.open(staged, identity);
    await expect(open({ layers: [2], linear: true })).rejects.toMatchObject({
      code: 'bad-checkpoint',
      message: expect.stringMatching(
        /other\.work is of another conversion: layers is \[1\], asked for \[2\]/,
      ),
      details: { field: 'layers' },
    });
    await expect(open({ layers: [1] })).resolves.toBeDefined();
    expect(() => progress.check({ text: 6 })).toThrow(/text is 5, asked for 6/);
    writeFileSync(join(at('other.work'), PROGRESS_FILE), 'not whole');
    await expect(open({ layers: [1] })).rejects.toMatchObject({ code: 'bad-checkpoint' });
    await staged.discard();
    expect(readdirSync(folder)).not.toContain('other.work');
  });

  it('are not kept where nothing is gone on with', async () => {
    const staged = stageMemory('memory');
    const progress = await Progress.open(staged, { a: 1 });
    await progress.stage('one', async () => 1);
    await expect(staged.source.read(PROGRESS_FILE)).rejects.toMatchObject({ code: 'not-found' });
    await expect(Progress.open(staged, { a: 2 })).resolves.toBeDefined();
  });
});

it('a file that cannot be written whole leaves the one before, and nothing of itself', async () => {
  const staged = await stageFolder(at('full'), { force: false });
  await staged.write('healing.safetensors', 'before');
  async function* pieces(): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(100);
    throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
  }
  await expect(staged.write('healing.safetensors', pieces())).rejects.toMatchObject({
    code: 'io',
    mend: 'Free some disk space.',
  });
  expect(readdirSync(at('full.work'))).toEqual(['healing.safetensors']);
  expect(readFileSync(join(at('full.work'), 'healing.safetensors'), 'utf8')).toBe('before');
});

it('fresh text is what is behind what was trained on, by part, where there is enough', () => {
  const windows = Array.from({ length: 100 }, (_, i) => Array.from({ length: 10 }, () => i));
  const mixture = [
    { name: 'a', weight: 3, windows },
    { name: 'b', weight: 1, windows: windows.slice(0, 20) },
  ];
  const [a, b] = freshOf(mixture, 400, 500);
  expect(a!.windows[0]![0]).toBe(30);
  expect(countTokens(a!.windows)).toBe(700);
  // 100 are left of b, 125 were asked for: all of it again.
  expect(b!.windows).toHaveLength(20);
  expect(freshOf(mixture, 0, 1e6)).toEqual(mixture);
});

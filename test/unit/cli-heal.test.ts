// `shishulm convert` and `heal` with wrong arguments: refused by name before a model is opened.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { toyCorpus } from '../../demo/corpus/chats.ts';
import type { Command } from '../../src/cli/args.ts';
import { command as convert } from '../../src/cli/convert.ts';
import { command as heal } from '../../src/cli/heal.ts';
import { command as quality } from '../../src/cli/quality.ts';
import { writeFolder } from '../support/write-folder.ts';

const folder = mkdtempSync(join(tmpdir(), 'cli-heal-'));
const child = join(folder, 'child');
beforeAll(() => {
  writeFolder(child, { 'config.json': '{}', 'report.json': '{}' });
  writeFolder(join(folder, 'text'), { 'a.txt': 'Some text.' });
});
afterAll(() => rmSync(folder, { recursive: true }));

const run = (command: Command, ...args: string[]): Promise<void> =>
  command.run(args, new AbortController().signal, toyCorpus);
const text = ['--text', join(folder, 'text')];

it.each<[string, Command, string[], RegExp]>([
  ['no child', heal, ['--heal', '5'], /No model was given/],
  ['no tokens', heal, [child], /Give --heal with a number of tokens/],
  ['an option that is not there', heal, [child, '--tokns', '5'], /Unknown option '--tokns'/],
  ['no parent', heal, [child, '--heal', '5', ...text], /does not say what its parent is.*--parent/],
  ['a child that is not there', heal, [join(folder, 'none'), '--heal', '5'], /no folder .*none/],
  ['no number of tokens', heal, [child, '--heal', 'many'], /--heal is "many", expected a number/],
  ['nothing to train', heal, [child, '--heal', '5', '--train', 'lora:x'], /--train is "lora:x"/],
  ['a rate above 1', convert, ['m', '-o', 'o', '--heal', '5', '--heal-lr', '1.5'], /--heal-lr is 1.5/],
  ['a rate without healing', convert, ['m', '-o', 'o', '--heal-lr', '0.1'], /no meaning without --heal/],
  ['a text that is not there', convert, ['m', '-o', 'o', '--text', 'none.txt:2'], /no file none.txt:2/],
  [
    'a weight of 0',
    convert,
    ['m', '-o', 'o', '--text', `${join(folder, 'text')}:0`],
    /--text is 0, expected a weight/,
  ],
  ['samples of weight 0', quality, ['m', '--own', '0'], /--own is 0, expected a weight above 0/],
])('%s', async (_, command, args, message) => {
  await expect(run(command, ...args)).rejects.toMatchObject({
    name: 'ShishuError',
    message: expect.stringMatching(message),
  });
});

it('help names each option', () => {
  for (const option of [
    '--heal',
    '--train',
    '--memory',
    '--heal-rows',
    '--checkpoint-minutes',
    '--own',
    '--other',
  ])
    for (const { help } of [convert, heal]) expect(help).toContain(option);
});

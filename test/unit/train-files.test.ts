import { readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { toyCorpus } from '../../demo/corpus/chats.ts';
import { command } from '../../src/cli/train.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { writeAtomic } from '../../src/train/io.ts';
import { train } from '../../src/train/session.ts';
import { paragraphsOf } from '../../src/train/text-data.ts';
import { errorOf, trainFolder } from '../support/train-folder.ts';

const sizes = {
  hidden_size: 32,
  intermediate_size: 48,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  vocab_size: 300,
  tie_word_embeddings: true,
  bos_token_id: 0,
  eos_token_id: 3,
};
const { configs: CONFIGS, at, request } = trainFolder(sizes, { rows: 2, length: 32 });

// What is refused needs none.
const gpu = {} as Gpu;

describe('bad input', () => {
  it('pairs over the MLP blocks, heads that do not divide, a small vocabulary', async () => {
    const cases = [
      [{ ...CONFIGS.child, num_mlp_shared: 2 }, /pairs/],
      [{ ...CONFIGS.child, linear_rank: 999 }, /"linear_rank" 999 is above "hidden_size"/],
      [{ ...CONFIGS.parent, num_attention_heads: 3, num_key_value_heads: 2 }, /do(es)? not divide/],
      [{ ...CONFIGS.parent, vocab_size: 100 }, /"vocab_size" 100 is too small/],
    ] as const;
    for (const [spec, message] of cases) {
      await writeFile(at('bad.json'), JSON.stringify(spec));
      const error = await errorOf(() => train(gpu, request('bad', { configs: [at('bad.json')] })));
      expect(error.code).toBe('bad-config');
      expect(error.message).toMatch(message);
    }
    expect((await errorOf(() => train(gpu, request('bad', { configs: [at('none.json')] })))).code).toBe(
      'not-found',
    );
  });

  it('a corpus that is missing, empty, or not text', async () => {
    const missing = await errorOf(() => train(gpu, request('c', { textFile: at('none.txt') })));
    expect(missing.code).toBe('not-found');
    expect(() => paragraphsOf('a.txt', new TextEncoder().encode(' \n\n \n'))).toThrow(/a\.txt is empty/);
    expect(() => paragraphsOf('a.txt', Uint8Array.of(0xff, 0xfe, 0x41))).toThrow(/not UTF-8 text/);
    expect(() => paragraphsOf('a.txt', Uint8Array.of(0x41, 0, 0x41))).toThrow(/zero bytes/);
    expect(paragraphsOf('a.txt', new TextEncoder().encode('one\nline\n\n\ntwo\r\n\r\nthree'))).toEqual([
      'one\nline',
      'two',
      'three',
    ]);
  });

  it('a full disk leaves the old file whole and says what to do', async () => {
    await writeAtomic(at('kept.bin'), 'old');
    // Writing to /dev/full fails as a full disk does.
    await symlink('/dev/full', at('kept.bin.part'));
    const error = await errorOf(() => writeAtomic(at('kept.bin'), 'new'));
    expect(error.code).toBe('io');
    expect(error.message).toMatch(/kept\.bin.*ENOSPC.*Free some disk space/s);
    expect(await readFile(at('kept.bin'), 'utf8')).toBe('old');
    expect(await readdir(at())).not.toContain('kept.bin.part');
  });

  it('options that are unknown, missing or out of range', async () => {
    const cases = [
      [['x.json'], /No output folder/],
      [['-o', 'y'], /No config/],
      [['x.json', '-o', 'y', '--steps', '1.5'], /--steps is 1\.5, expected a whole number/],
      [['x.json', '-o', 'y', '--mix', '2'], /--mix is 2, expected a number from 0 to 1/],
      [['x.json', '-o', 'y', '--lr', 'fast'], /--lr is "fast"/],
      [['x.json', '-o', 'y', '--stepz', '1'], /stepz/],
    ] as const;
    for (const [argv, message] of cases) {
      const error = await errorOf(() => command.run(argv, new AbortController().signal, toyCorpus));
      expect(error.code).toBe('bad-argument');
      expect(error.message).toMatch(message);
    }
  });
});

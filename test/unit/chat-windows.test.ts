import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { toyCorpus } from '../../demo/corpus/chats.ts';
import { chatWindows } from '../../src/convert/chat-windows.ts';
import type { TokenWindows } from '../../src/convert/windows.ts';
import { openFolder } from '../../src/formats/node-folder.ts';
import { loadTokenizer } from '../../src/formats/tokenizer.ts';
import { knowsChatFormat } from '../../src/train/chat-format.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { memorySource } from '../support/memory-source.ts';

const parent = join(import.meta.dirname, '../../demo/public/models/parent');

it('knows the tokenizers of the chat format', async () => {
  const { vocab_size } = JSON.parse(readFileSync(join(parent, 'config.json'), 'utf8'));
  expect(knowsChatFormat(await loadTokenizer(await openFolder(parent), vocab_size))).toBe(true);
  expect(knowsChatFormat(await loadTokenizer(memorySource(charTokenizerFiles()), 64))).toBe(false);
});

it('packs whole chats into windows, held-out ones apart from those for calibration and healing', async () => {
  const options = { tokens: 2000, healing: 3000, length: 128, seed: 1 };
  const windows = await chatWindows(await openFolder(parent), toyCorpus, options);
  const { calibration, choosing, test, healing: mixture } = windows;
  expect(mixture).toHaveLength(1);
  const healing = mixture[0]!.windows;
  const count = (set: TokenWindows): number => set.reduce((sum, window) => sum + window.length, 0);
  for (const [set, least] of [
    [calibration, 1400],
    [choosing, 200],
    [test, 400],
    [healing, 3000],
  ] as const) {
    expect(count(set)).toBeGreaterThanOrEqual(least);
    expect(count(set)).toBeLessThan(least + 256);
    for (const window of set) {
      // 0 opens a chat.
      expect(window[0]).toBe(0);
      expect(window.length).toBeLessThanOrEqual(128);
    }
  }
  expect(healing.slice(0, calibration.length)).toEqual(calibration);
  const all = [...healing, ...choosing, ...test].map((window) => window.join());
  expect(new Set(all).size).toBe(all.length);
  expect(await chatWindows(await openFolder(parent), toyCorpus, options)).toEqual(windows);
});

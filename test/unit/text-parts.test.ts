// Texts, chats and folders as the command line names them, cut into windows: what is held out stays so.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { healOptionsOf } from '../../src/cli/heal-options.ts';
import { textsOf } from '../../src/cli/text-files.ts';
import { checkMixture } from '../../src/convert/mixture.ts';
import { chatsOf, type TextPart, tokensOf } from '../../src/convert/text-parts.ts';
import { mixtureOf, windowsOf } from '../../src/convert/windows.ts';
import { loadTokenizer, type Tokenizer } from '../../src/formats/tokenizer.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { memorySource } from '../support/memory-source.ts';
import { mulberry32 } from '../support/random.ts';

const folder = mkdtempSync(join(tmpdir(), 'text-parts-'));
const at = (name: string): string => join(folder, name);
const CHAT = {
  messages: [
    { role: 'user', content: 'Hi' },
    { role: 'assistant', content: 'Ho' },
  ],
};
const TEMPLATE = "{% for m in messages %}{{ '</s>' + m.role[0] + m.content }}{% endfor %}";
let tokenizer: Tokenizer;
beforeAll(async () => {
  writeFileSync(at('a.txt'), 'AAAA');
  writeFileSync(at('b:3'), 'BBBB');
  writeFileSync(at('empty'), ' \n');
  writeFileSync(at('chats.jsonl'), `${JSON.stringify(CHAT)}\n\n${JSON.stringify(CHAT)}\n`);
  writeFileSync(at('broken.jsonl'), `${JSON.stringify(CHAT)}\n{"messages": [{"role": "user"}]}\n`);
  mkdirSync(at('texts/deeper'), { recursive: true });
  writeFileSync(at('texts/one.md'), 'x'.repeat(300));
  writeFileSync(at('texts/deeper/two.txt'), 'y'.repeat(300));
  writeFileSync(at('texts/picture.png'), Uint8Array.of(0xff, 0xfe, 0, 1));
  writeFileSync(at('texts/deeper/some.jsonl'), JSON.stringify(CHAT));
  tokenizer = await loadTokenizer(
    memorySource({
      ...charTokenizerFiles(96),
      'tokenizer_config.json': JSON.stringify({ eos_token: '</s>', chat_template: TEMPLATE }),
    }),
    96,
  );
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('what --text names', () => {
  it('is files with weights, chats and folders', async () => {
    const { parts, other } = await textsOf({
      text: [`${at('a.txt')}:2.5`, at('b:3'), at('chats.jsonl'), `${at('texts')}:4`],
      own: '0.5',
      other: at('a.txt'),
    });
    expect(parts!.map(({ kind, weight }) => [kind, weight])).toEqual([
      ['text', 2.5],
      // A file of that name is there.
      ['text', 1],
      ['chats', 1],
      ['text', expect.closeTo(4, 0)],
      ['chats', expect.any(Number)],
      ['own', 0.5],
    ]);
    const [folderText, folderChats] = parts!.slice(3) as [TextPart, TextPart];
    expect(folderText.weight! + folderChats.weight!).toBeCloseTo(4);
    expect(folderText).toMatchObject({ texts: ['y'.repeat(300), 'x'.repeat(300)] });
    expect(other).toMatchObject({ kind: 'text', texts: ['AAAA'] });
    expect(await textsOf({})).toEqual({});
  });

  it.each([
    [{ text: ['a.txt:0'] }, /weight above 0/],
    [{ text: ['a.txt:-1'] }, /weight above 0/],
    [{ text: ['a.txt:x'] }, /--text is "x", expected a number/],
    [{ own: '0' }, /--own is 0/],
    [{ own: 'half' }, /--own is "half"/],
    [{ text: ['nowhere'] }, /no file .*nowhere/],
    [{ text: ['empty'] }, /holds no text/],
    [{ text: ['broken.jsonl'] }, /broken.jsonl, line 2: a message has no text/],
  ])('refuses %j', async (values, message) => {
    const there = (name: string): string => at(name);
    const text = 'text' in values ? values.text!.map(there) : undefined;
    await expect(textsOf({ ...values, ...(text && { text }) })).rejects.toThrow(message);
  });
});

it('lines of chats are refused by their number', () => {
  expect(chatsOf('f', JSON.stringify(CHAT))).toEqual([CHAT.messages]);
  expect(() => chatsOf('f', '\n\n{"a":1}')).toThrow(/f, line 3: there are no "messages"/);
  expect(() => chatsOf('f', 'Hello')).toThrow(/f, line 1: not JSON/);
  expect(() => chatsOf('f', '\n')).toThrow(/no conversations/);
});

describe('windows', () => {
  const random = mulberry32(3);
  const letters = Array.from({ length: 40_000 }, () => String.fromCharCode(33 + Math.floor(90 * random())));
  const part: TextPart = { kind: 'text', name: 'letters', texts: [letters.join('')] };
  const cut = (seed: number, more: number) =>
    windowsOf(
      { pieces: tokensOf(part as Exclude<TextPart, { kind: 'own' }>, tokenizer, seed), whole: false },
      { length: 50, tokens: 5000, more },
    );

  it('of a seed are held out whatever healing takes, and never trained on', () => {
    const [none, some, all] = [cut(1, 0), cut(1, 10_000), cut(1, 1e9)];
    for (const set of ['calibration', 'choosing', 'test'] as const) {
      expect(some[set]).toEqual(none[set]);
      expect(all[set]).toEqual(none[set]);
    }
    expect(none.rest).toEqual([]);
    expect(all.rest.slice(0, some.rest.length - 1)).toEqual(some.rest.slice(0, -1));
    expect(all.rest.flat().length).toBeGreaterThan(34_000);
    const seen = new Set([...all.calibration, ...all.rest].map((window) => window.join()));
    for (const window of [...all.choosing, ...all.test]) expect(seen.has(window.join())).toBe(false);
    expect(cut(2, 0).test).not.toEqual(none.test);
    // They come from all of the text, not from its beginning.
    const places = none.test.map((window) => part.texts[0]!.indexOf(tokenizer.decode(window)));
    expect(Math.max(...places) - Math.min(...places)).toBeGreaterThan(6000);
  });

  it('of chats are whole where they can be', () => {
    const chats: TextPart & { kind: 'chats' } = {
      kind: 'chats',
      name: 'chats',
      chats: Array.from({ length: 40 }, (_, i) => [{ role: 'user', content: 'abc'.repeat(1 + (i % 3)) }]),
    };
    const { calibration, choosing, test, rest } = windowsOf(
      { pieces: tokensOf(chats, tokenizer, 1), whole: true },
      { length: 24, tokens: 300, more: 1000 },
    );
    const all = [...calibration, ...choosing, ...test, ...rest];
    for (const window of all) {
      // 0 opens a chat.
      expect(window[0]).toBe(0);
      expect(window.length).toBeLessThanOrEqual(24);
    }
    expect(all.flat().length).toBe(chats.chats.reduce((sum, [turn]) => sum + turn!.content.length + 2, 0));
    expect(Math.min(choosing.length, test.length)).toBeGreaterThan(0);
  });

  it('a part that is too short for its share is refused by what it has and needs', () => {
    const mixture = [
      { name: 'long', weight: 3, windows: [Array.from({ length: 900 }, () => 1)] },
      { name: 'short', weight: 1, windows: [Array.from({ length: 20 }, () => 1)] },
    ];
    expect(() => checkMixture(mixture, 800)).not.toThrow();
    expect(() => checkMixture(mixture, 1000)).toThrow(
      expect.objectContaining({
        code: 'bad-argument',
        details: expect.objectContaining({ available: 20, needed: 25 }),
        message: expect.stringMatching(/250 tokens of short .* 13 times over the 20 there are/),
      }),
    );
    expect(() => checkMixture(mixtureOf([[1, 2]]), 21)).toThrow(/of the text/);
  });
});

describe('options of healing', () => {
  it('are read', () => {
    expect(
      healOptionsOf(
        { heal: '5000', 'heal-lr': '0.01', 'heal-warmup': '3', 'heal-mix': '0.5', 'heal-step': '256' },
        7,
      ),
    ).toMatchObject({ tokens: 5000, learningRate: 0.01, warmUp: 3, mix: 0.5, stepTokens: 256, seed: 7 });
    expect(healOptionsOf({ heal: '1', train: 'lora:8', memory: '2' })).toMatchObject({
      trained: { rank: 8 },
      memory: 2e9,
    });
    expect(healOptionsOf({})).toBeUndefined();
  });

  it.each([
    [{ 'heal-mix': '1' }, /--heal-mix has no meaning without --heal/],
    [{ heal: '10', 'heal-lr': '0' }, /--heal-lr is 0/],
    [{ heal: '10', train: 'lora' }, /--train is "lora", expected all, changed or lora:RANK/],
    [{ heal: '10', train: 'lora:0' }, /--train is "lora:0"/],
    [{ heal: '10', memory: '0' }, /--memory is 0/],
    [{ train: 'all' }, /--train has no meaning without --heal/],
    [{ heal: '10', 'heal-lr': '2' }, /--heal-lr is 2, expected a number from 1e-9 to 1/],
    [{ heal: '10', 'heal-mix': '1.5' }, /--heal-mix is 1.5/],
    [{ heal: 'all' }, /--heal is "all", expected a number/],
    [{ heal: '0' }, /--heal is 0/],
    [{ heal: '10', 'checkpoint-minutes': '-1' }, /--checkpoint-minutes is -1/],
  ])('%j is refused', (values, message) => {
    expect(() => healOptionsOf(values)).toThrow(message);
  });
});

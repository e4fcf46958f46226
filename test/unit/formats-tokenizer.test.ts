import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readGeneration } from '../../src/formats/generation.ts';
import { openFolder } from '../../src/formats/node-folder.ts';
import { StopFilter } from '../../src/formats/stop-filter.ts';
import { TokenStream } from '../../src/formats/token-stream.ts';
import { loadTokenizer, type Tokenizer } from '../../src/formats/tokenizer.ts';
import { byteTokenizerFiles } from '../support/byte-tokenizer.ts';
import { memorySource } from '../support/memory-source.ts';
import { mulberry32 } from '../support/random.ts';
import { sentencepieceFiles } from '../support/sentencepiece-tokenizer.ts';

const STORIES = resolve(import.meta.dirname, '../../../shared/models/stories260K');
const hasStories = existsSync(STORIES);
if (!hasStories) console.warn('stories260K is absent: its tokenizer is not tested.');

const bytes = () => loadTokenizer(memorySource(byteTokenizerFiles()), 300);
const pieces = () => loadTokenizer(memorySource(sentencepieceFiles()), 300);
const edited = (
  files: Record<string, string>,
  file: string,
  edit: (json: Record<string, unknown>) => void,
) => {
  const json = JSON.parse(files[file] ?? '{}');
  edit(json);
  return memorySource({ ...files, [file]: JSON.stringify(json) });
};

const SAMPLES = [
  'the  and an adder',
  ' leading',
  'é日本語',
  '👩‍👩‍👧‍👦🏽 flags 🇮🇳',
  'a\u0301\ufeffb\ufffdc',
  '\n\t .',
  'नमस्ते',
  '𝒳𐍈',
];

function randomText(random: () => number): string {
  const parts = Array.from({ length: 1 + Math.floor(random() * 8) }, () => {
    if (random() < 0.5) return SAMPLES[Math.floor(random() * SAMPLES.length)];
    const point = Math.floor(random() * (random() < 0.5 ? 0x3000 : 0x110000));
    return point >= 0xd800 && point < 0xe000 ? ' ' : String.fromCodePoint(point);
  });
  return parts.join(random() < 0.3 ? ' ' : '');
}

/** All pushes and the flush. A half character emitted early would make it differ from the whole's decoding. */
function streamed(tokenizer: Tokenizer, ids: readonly number[], skipSpecialTokens = true): string {
  const stream = new TokenStream(tokenizer, { skipSpecialTokens });
  const text = ids.map((id) => stream.push(id)).join('');
  return text + stream.flush();
}

const kinds: [string, () => Promise<Tokenizer>][] = [
  ['byte-level', bytes],
  ['sentencepiece', pieces],
];
if (hasStories) kinds.push(['stories260K', async () => loadTokenizer(await openFolder(STORIES), 512)]);

describe.each(kinds)('%s tokenizer', (_, load) => {
  it('gives back the text it encoded', async () => {
    const tokenizer = await load();
    for (const text of SAMPLES.filter((sample) => !sample.includes('\ufeff')))
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });

  it('streams random text to just what decoding the whole gives', async () => {
    const tokenizer = await load();
    const random = mulberry32(11);
    for (let round = 0; round < 150; round++) {
      const ids = tokenizer.encode(randomText(random));
      expect(streamed(tokenizer, ids)).toBe(tokenizer.decode(ids));
    }
  });

  it('lags by no more than the character that is incomplete', async () => {
    const tokenizer = await load();
    const random = mulberry32(13);
    for (let round = 0; round < 30; round++) {
      const ids = tokenizer.encode(randomText(random));
      const stream = new TokenStream(tokenizer);
      let text = '';
      ids.forEach((id, i) => {
        text += stream.push(id);
        const sofar = tokenizer.decode(ids.slice(0, i + 1));
        expect(text).toBe(sofar.endsWith('\ufffd') ? sofar.slice(0, -1) : sofar);
      });
    }
  });

  it('streams random ids, control tokens and broken bytes among them, to the same text as decoding the whole', async () => {
    const tokenizer = await load();
    const random = mulberry32(12);
    for (let round = 0; round < 300; round++) {
      const range = [tokenizer.size, 300, 256, 8][round % 4] ?? 1;
      const first = [0, 0, 3, 230][round % 4] ?? 0;
      const ids = Array.from({ length: 1 + Math.floor(random() * 90) }, () =>
        Math.min(first + Math.floor(random() * range), tokenizer.size - 1),
      );
      for (const skip of [true, false])
        expect(streamed(tokenizer, ids, skip)).toBe(tokenizer.decode(ids, { skipSpecialTokens: skip }));
    }
  });

  it('decodes a bounded number of tokens a push', async () => {
    const tokenizer = await load();
    let most = 0;
    const counting: Tokenizer = {
      ...tokenizer,
      decode(ids, options) {
        most = Math.max(most, ids.length);
        return tokenizer.decode(ids, options);
      },
    };
    const ids = tokenizer.encode('the 日本 👩‍👩‍👧 and '.repeat(100));
    expect(streamed(counting, ids)).toBe(tokenizer.decode(ids));
    expect(most).toBeLessThanOrEqual(48);
  });
});

describe('streaming', () => {
  it('holds an emoji back until its last byte, then emits it whole', async () => {
    const tokenizer = await bytes();
    const stream = new TokenStream(tokenizer);
    expect(tokenizer.encode('a😀').map((id) => stream.push(id))).toEqual(['a', '', '', '', '😀']);
    expect(stream.flush()).toBe('');
    stream.push(tokenizer.encode('😀')[0] ?? 0);
    expect(stream.flush()).toBe('\ufffd');
  });
});

describe('loadTokenizer', () => {
  it('adds begin-of-text to a text and does not double the one of the template', async () => {
    const tokenizer = await pieces();
    expect(tokenizer.encode('a')[0]).toBe(1);
    expect(tokenizer.encode('a', { addSpecialTokens: false })[0]).not.toBe(1);
    const ids = tokenizer.encodeChat([{ role: 'user', content: 'the' }]);
    expect(ids.filter((id) => id === 1)).toHaveLength(1);
    expect(tokenizer.decode(ids, { skipSpecialTokens: false })).toContain('[user] the');
  });

  it('writes ChatML', async () => {
    const tokenizer = await bytes();
    const turns = [
      { role: 'system', content: 'Be kind.' },
      { role: 'user', content: 'Hi' },
    ];
    const body = '<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n';
    expect(tokenizer.applyChatTemplate(turns)).toBe(`${body}<|im_start|>assistant\n`);
    expect(tokenizer.applyChatTemplate(turns, { addGenerationPrompt: false })).toBe(body);
    const [start] = tokenizer.encodeChat(turns);
    expect(start).toBe(tokenizer.size - 2);
    expect(tokenizer.isSilent(start ?? 0)).toBe(true);
    expect(tokenizer.decode([start ?? 0], { skipSpecialTokens: false })).toBe('<|im_start|>');
  });

  it('takes the template from its own file before the config, and the tool template for tools', async () => {
    const files = byteTokenizerFiles();
    const say = async (extra: Record<string, string>, tools?: unknown[]) =>
      (await loadTokenizer(memorySource({ ...files, ...extra }), 300)).applyChatTemplate(
        [{ role: 'user', content: 'x' }],
        tools && { tools },
      );
    const json = { 'chat_template.json': '{"chat_template": "json {{ eos_token }}"}' };
    expect(await say(json)).toBe('json <|im_end|>');
    expect(await say({ ...json, 'chat_template.jinja': 'jinja' })).toBe('jinja');
    const list = [
      { name: 'default', template: 'plain' },
      { name: 'tool_use', template: '{{ tools | length }} tools' },
    ];
    const named = { 'chat_template.json': JSON.stringify({ chat_template: list }) };
    expect(await say(named)).toBe('plain');
    expect(await say(named, [{}, {}])).toBe('2 tools');
  });

  it('refuses what it cannot use, by name', async () => {
    const tokenizer = await pieces();
    expect(() => tokenizer.applyChatTemplate([{ role: 'system', content: 'x' }])).toThrow(/no role system/);
    expect(() => tokenizer.applyChatTemplate([])).toThrow(/no messages/);
    expect(() => tokenizer.applyChatTemplate([{ role: 'user' } as never])).toThrow(/Message 0/);
    expect(() => tokenizer.decode([3, 300])).toThrow(/id 300 is not in the vocabulary of 300/);
    expect(tokenizer.decode([299])).toBe('');
    expect(tokenizer.decode([])).toBe('');
    const files = byteTokenizerFiles();
    await expect(loadTokenizer(memorySource(files), 260)).rejects.toMatchObject({
      code: 'bad-tokenizer',
      details: { tokenId: 270, limit: 260 },
    });
    await expect(loadTokenizer(memorySource({}), 260)).rejects.toMatchObject({ code: 'not-found' });
    const endless = await loadTokenizer(
      edited(files, 'tokenizer_config.json', (json) => {
        json.chat_template = '{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}';
      }),
      300,
    );
    expect(() => endless.applyChatTemplate([{ role: 'user', content: 'x' }])).toThrow(
      expect.objectContaining({
        code: 'bad-tokenizer',
        details: { file: 'tokenizer_config.json' },
        message: expect.stringMatching(/macros run within each other/),
      }),
    );
    const none = await loadTokenizer(
      edited(files, 'tokenizer_config.json', (json) => {
        delete json.chat_template;
      }),
      300,
    );
    expect(none.hasChatTemplate).toBe(false);
    expect(() => none.applyChatTemplate([{ role: 'user', content: 'x' }])).toThrow(/prompt as a string/);
    const broken = await loadTokenizer(memorySource({ ...files, 'chat_template.jinja': '{% if' }), 300);
    expect(() => broken.applyChatTemplate([{ role: 'user', content: 'x' }])).toThrow(/cannot be read/);
    expect(broken.decode(broken.encode('ok'))).toBe('ok');
  });

  it.skipIf(!hasStories)('encodes with the tokenizer of the stories model as it was trained', async () => {
    const tokenizer = await loadTokenizer(await openFolder(STORIES), 512);
    const ids = [432, 383, 286, 261, 376, 298, 315, 421, 395, 317, 426, 338];
    const prompt = tokenizer.encode('Once upon a time');
    expect(prompt[0]).toBe(1);
    expect(streamed(tokenizer, [...prompt, ...ids])).toBe(tokenizer.decode([...prompt, ...ids]));
    expect(tokenizer.decode([...prompt, ...ids])).toBe(
      'Once upon a time, there was a little girl named Lily. She',
    );
  });
});

describe('readGeneration', () => {
  const spec = { eosTokenIds: [2], vocabSize: 10 };
  const readAll = (json?: unknown, enders: number[] = []) =>
    readGeneration(
      memorySource(json === undefined ? {} : { 'generation_config.json': JSON.stringify(json) }),
      spec,
      { enders },
    );
  const read = async (...args: Parameters<typeof readAll>) => (await readAll(...args)).eosTokenIds;

  it('takes a number, a list, or what config.json says', async () => {
    expect(await read({ eos_token_id: 5 })).toEqual([5]);
    expect(await read({ eos_token_id: [5, 7] })).toEqual([5, 7]);
    expect(await read({})).toEqual([2]);
    expect(await read()).toEqual([2]);
    expect(await read(undefined, [2, 9])).toEqual([2, 9]);
    expect(await read({ eos_token_id: [5, 7] }, [9])).toEqual([5, 7, 9]);
    for (const bad of [10, -1, 'x', [1.5], [null]])
      await expect(read({ eos_token_id: bad })).rejects.toMatchObject({ code: 'bad-config' });
  });

  it('says how to choose tokens where the file asks for sampling', async () => {
    const sampling = async (json?: unknown) => (await readAll(json)).sampling;
    expect(await sampling()).toEqual({});
    expect(await sampling({ temperature: 0.7 })).toEqual({});
    expect(await sampling({ do_sample: true, top_k: 20 })).toEqual({ temperature: 1, topK: 20 });
    const all = { temperature: 0.6, top_k: 20, top_p: 0.95, min_p: 0, repetition_penalty: 1.05 };
    expect(await sampling({ do_sample: true, ...all })).toEqual({
      ...{ temperature: 0.6, topK: 20, topP: 0.95, minP: 0, repetitionPenalty: 1.05 },
    });
    const odd = { temperature: 'hot', top_k: 1.5, top_p: 0, min_p: null, repetition_penalty: -1 };
    expect(await sampling({ do_sample: true, ...odd })).toEqual({ temperature: 1 });
  });
});

describe('StopFilter', () => {
  function filtered(stops: string[], pieces: string[]): { text: string; stopped: boolean } {
    const filter = new StopFilter(stops);
    let text = '';
    for (const piece of pieces) {
      const step = filter.push(piece);
      text += step.text;
      if (step.stopped) return { text, stopped: true };
    }
    return { text: text + filter.flush(), stopped: false };
  }

  it('holds back only what may begin a stop string', () => {
    const filter = new StopFilter(['END', '\n\n']);
    expect(filter.push('aE').text).toBe('a');
    expect(filter.push('N').text).toBe('');
    expect(filter.push('E').text).toBe('EN');
    expect(filter.push('ND.')).toEqual({ text: '', stopped: true });
    expect(filter.push('more')).toEqual({ text: '', stopped: true });
    expect(filter.flush()).toBe('');
  });

  it('gives the same text however the reply is cut, and never a stop string', () => {
    const random = mulberry32(5);
    const letters = (n: number) => Array.from({ length: n }, () => 'abc'[Math.floor(random() * 3)]).join('');
    for (let round = 0; round < 500; round++) {
      const stops = Array.from({ length: 1 + Math.floor(random() * 3) }, () =>
        letters(1 + Math.floor(random() * 4)),
      );
      const text = letters(Math.floor(random() * 30));
      const whole = filtered(stops, [text]);
      const cut: string[] = [];
      for (let at = 0; at < text.length; ) {
        const next = at + 1 + Math.floor(random() * 5);
        cut.push(text.slice(at, next));
        at = next;
      }
      expect(filtered(stops, cut)).toEqual(whole);
      expect(filtered(stops, [...text])).toEqual(whole);
      expect(stops.some((stop) => whole.text.includes(stop))).toBe(false);
      expect(text.startsWith(whole.text)).toBe(true);
      if (!whole.stopped) expect(whole.text).toBe(text);
    }
  });

  it('refuses an empty stop string', () => {
    expect(() => new StopFilter([''])).toThrow(/empty/);
  });
});

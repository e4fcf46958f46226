// What a model's folder says of texts: templates in all their places, tokens around a text, tokens that end a reply.
import { describe, expect, it } from 'vitest';
import { loadTokenizer } from '../../src/formats/tokenizer.ts';
import { byteTokenizerFiles } from '../support/byte-tokenizer.ts';
import { memorySource } from '../support/memory-source.ts';
import { sentencepieceFiles } from '../support/sentencepiece-tokenizer.ts';

type Json = Record<string, unknown>;

const files = byteTokenizerFiles();
const edited = (file: string, more: Json, of = files): string =>
  JSON.stringify({ ...JSON.parse(of[file]!), ...more });
const withConfig = (more: Json, extra: Record<string, string> = {}, of = files) =>
  loadTokenizer(
    memorySource({ ...of, 'tokenizer_config.json': edited('tokenizer_config.json', more, of), ...extra }),
    300,
  );
const turns = [{ role: 'user', content: 'x' }];
const tools = [{ name: 'f' }];
const [TEXT_END, TURN_START, TURN_END] = [268, 269, 270];

describe('chat templates', () => {
  const NAMED = { default: 'plain', tool_use: 'with {{ tools|length }}' };
  const list = Object.entries(NAMED).map(([name, template]) => ({ name, template }));

  it.each<[string, Json, Record<string, string>]>([
    ['a list', { chat_template: list }, {}],
    ['an object', { chat_template: NAMED }, {}],
    [
      'an object in chat_template.json',
      {},
      { 'chat_template.json': JSON.stringify({ chat_template: NAMED }) },
    ],
    [
      'files',
      { chat_template: 'not this' },
      {
        'chat_template.jinja': NAMED.default,
        'additional_chat_templates/tool_use.jinja': NAMED.tool_use,
      },
    ],
    [
      'a file beside the config',
      { chat_template: NAMED.default },
      { 'additional_chat_templates/tool_use.jinja': NAMED.tool_use },
    ],
  ])('may be named, as %s', async (_, config, extra) => {
    const tokenizer = await withConfig(config, extra);
    expect(tokenizer.applyChatTemplate(turns)).toBe('plain');
    expect(tokenizer.applyChatTemplate(turns, { tools })).toBe('with 1');
  });

  it('a file for all conversations stands before named ones of the config', async () => {
    const tokenizer = await withConfig(
      { chat_template: list },
      { 'chat_template.jinja': '{{ tools and "file" }}' },
    );
    expect(tokenizer.applyChatTemplate(turns, { tools })).toBe('file');
  });

  it.each<[string, Json, Record<string, string>]>([
    ['list', { chat_template: [{ name: 'tool_use', template: NAMED.tool_use }] }, {}],
    ['file', { chat_template: null }, { 'additional_chat_templates/tool_use.jinja': NAMED.tool_use }],
  ])('one for tools alone, in a %s, is used for them', async (_, config, extra) => {
    const tokenizer = await withConfig(config, extra);
    expect(tokenizer.applyChatTemplate(turns, { tools })).toBe('with 1');
    expect(() => tokenizer.applyChatTemplate(turns)).toThrow(
      expect.objectContaining({ code: 'unsupported' }),
    );
    expect(tokenizer.decode(tokenizer.encode('ok'))).toBe('ok');
  });

  const FILE = 'chat_template.jinja';
  it.each<[string, Json, Record<string, string>, RegExp]>([
    [
      'an unknown filter',
      {},
      { [FILE]: '{{ messages|nosuch }}' },
      /chat_template\.jinja.*no filter "nosuch"/,
    ],
    ['an unknown test', {}, { [FILE]: '{{ 1 is nosuch }}' }, /chat_template\.jinja.*no test "nosuch"/],
    ['an unknown function', {}, { [FILE]: '{{ nosuch() }}' }, /chat_template\.jinja.*no function "nosuch"/],
    ['an unknown method', {}, { [FILE]: '{{ "a".nosuch() }}' }, /chat_template\.jinja.*no method "nosuch"/],
    ['an unknown tag', {}, { [FILE]: '{% nosuch %}' }, /chat_template\.jinja.*nosuch/],
    [
      'a tag that is not closed',
      {},
      { [FILE]: 'a\n{% if x' },
      /chat_template\.jinja.*line 2: a tag is not closed/,
    ],
    ['a block that is not closed', {}, { [FILE]: '{% if true %}a' }, /chat_template\.jinja/],
    ['a Git LFS pointer', {}, { [FILE]: 'version https://git-lfs.github.com/spec/v1\noid x' }, /Git LFS/],
    ['in the config', { chat_template: '{{ tools|nosuch }}' }, {}, /tokenizer_config\.json.*nosuch/],
    ['no text', { chat_template: 5 }, {}, /tokenizer_config\.json.*neither a text nor a list/],
    ['a list of nothing', { chat_template: [] }, {}, /tokenizer_config\.json.*neither/],
    [
      'no text by its name',
      { chat_template: { default: 5 } },
      {},
      /tokenizer_config\.json.*"default" is no text/,
    ],
    [
      'in a file of its own',
      {},
      { 'additional_chat_templates/tool_use.jinja': '{{ tools|nosuch }}' },
      /additional_chat_templates\/tool_use\.jinja.*nosuch/,
    ],
  ])('a bad one (%s) is told by its file, and a text needs none', async (_, config, extra, message) => {
    const tokenizer = await withConfig(config, extra);
    const error = expect.objectContaining({ code: 'bad-tokenizer', message: expect.stringMatching(message) });
    expect(() => tokenizer.applyChatTemplate(turns, extra[FILE] ? {} : { tools })).toThrow(error);
    expect(tokenizer.decode(tokenizer.encode('ok'))).toBe('ok');
  });

  it('what the messages are to blame for is told apart', async () => {
    const say = async (chat_template: string) =>
      (await withConfig({ chat_template })).applyChatTemplate(turns);
    await expect(say('{{ raise_exception("No roles.") }}')).rejects.toMatchObject({
      code: 'bad-argument',
      message: expect.stringMatching(/refuses these messages: No roles\. Check roles/),
    });
    await expect(say('{{ messages[0].tool_calls[0].id }}')).rejects.toMatchObject({
      code: 'bad-argument',
      details: { file: 'tokenizer_config.json' },
    });
  });

  it('give the same prompt whatever ends their lines', async () => {
    const template =
      "{%- for m in messages %}\n  {%- if m.role %}\n{{ m.role }}\n  {% endif %}\n{{ '<a>\nb' }}\n{% endfor %}\n";
    const prompts = new Set<string>();
    for (const end of ['\n', '\r\n', '\r']) {
      const text = template.replaceAll('\n', end);
      const named = { default: text, tool_use: text };
      for (const tokenizer of [
        await withConfig({ chat_template: text }),
        await withConfig({ chat_template: named }),
        await withConfig({}, { 'chat_template.jinja': `\ufeff${text}` }),
        await withConfig({}, { 'chat_template.json': JSON.stringify({ chat_template: text }) }),
      ])
        prompts.add(tokenizer.applyChatTemplate(turns));
    }
    expect([...prompts]).toEqual(['user\n<a>\nb\n']);
  });

  it('do not see fields that are null', async () => {
    const chat_template =
      '{% for m in messages %}{{ m.name is defined }}{{ m.tool_calls is defined }}{% endfor %}';
    const tokenizer = await withConfig({ chat_template });
    expect(
      tokenizer.applyChatTemplate([{ role: 'user', content: 'x', name: null, tool_calls: undefined }]),
    ).toBe('FalseFalse');
  });

  it("keep the spaces of an earlier answer's code, as Qwen3's does", async () => {
    const chat_template =
      "{%- for message in messages %}{%- set content = message.content %}{%- if '</think>' in content %}" +
      "{%- set content = content.split('</think>')[-1].lstrip('\\n') %}{%- endif %}{{- content }}{%- endfor %}";
    const tokenizer = await withConfig({ chat_template });
    const answer = { role: 'assistant', content: '<think>…</think>\n\n    x = [1]' };
    expect(tokenizer.applyChatTemplate([answer])).toBe('    x = [1]');
  });
});

describe('tokens around a text', () => {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: true, trim_offsets: false, use_regex: true };
  const template = {
    type: 'TemplateProcessing',
    single: [{ SpecialToken: { id: '<|endoftext|>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
    pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
    special_tokens: { '<|endoftext|>': { id: '<|endoftext|>', ids: [TEXT_END], tokens: ['<|endoftext|>'] } },
  };
  const encoded = async (config: Json, post_processor: unknown) => {
    const extra = { 'tokenizer.json': edited('tokenizer.json', { post_processor }) };
    const tokenizer = await withConfig({ bos_token: '<|endoftext|>', ...config }, extra);
    expect(tokenizer.encode('a', { addSpecialTokens: false })).toHaveLength(1);
    expect(tokenizer.encodeChat(turns)[0]).toBe(TURN_START);
    return tokenizer.encode('a').map((id) => (id < TEXT_END ? 'a' : id));
  };

  it.each([
    ['ByteLevel', byteLevel],
    ['no', null],
  ])('are added where a %s post-processor adds none', async (_, processor) => {
    expect(await encoded({}, processor)).toEqual(['a']);
    expect(await encoded({ add_bos_token: true }, processor)).toEqual([TEXT_END, 'a']);
    expect(await encoded({ add_eos_token: true }, processor)).toEqual(['a', TURN_END]);
    expect(await encoded({ add_bos_token: true, add_eos_token: true }, processor)).toEqual([
      TEXT_END,
      'a',
      TURN_END,
    ]);
    expect(await encoded({ add_bos_token: false, add_eos_token: false }, processor)).toEqual(['a']);
    const bos_token = { content: '<|endoftext|>', special: true };
    expect(await encoded({ add_bos_token: true, bos_token }, processor)).toEqual([TEXT_END, 'a']);
    expect(await encoded({ add_bos_token: true, bos_token: null }, processor)).toEqual(['a']);
  });

  it('are not doubled, and are left to the post-processor where the flag is false', async () => {
    for (const add_bos_token of [true, false, undefined])
      expect(await encoded({ add_bos_token }, template)).toEqual([TEXT_END, 'a']);
    expect(await encoded({ add_bos_token: true, add_eos_token: true }, template)).toEqual([
      TEXT_END,
      'a',
      TURN_END,
    ]);
    const llama = await withConfig({ add_bos_token: true }, {}, sentencepieceFiles());
    expect(llama.encode('a').filter((id) => id === 1)).toHaveLength(1);
  });

  it('are refused where the vocabulary has them not', async () => {
    await expect(withConfig({ add_bos_token: true, bos_token: '<s>' })).rejects.toMatchObject({
      code: 'bad-tokenizer',
      details: { file: 'tokenizer_config.json', token: '<s>' },
    });
  });
});

describe('tokens that end a reply', () => {
  const enders = async (config: Json, extra: Record<string, string> = {}) =>
    (await withConfig(config, extra)).enders;

  it("are the tokenizer's end-of-text and what its template ends an answer with", async () => {
    expect(await enders({})).toEqual([TURN_END]);
    expect(await enders({ eos_token: '<|endoftext|>' })).toEqual([TEXT_END, TURN_END]);
    expect(await enders({ eos_token: { content: '<|endoftext|>' }, chat_template: null })).toEqual([
      TEXT_END,
    ]);
    expect(await enders({ eos_token: null })).toEqual([TURN_END]);
    expect(await enders({ eos_token: null, chat_template: null })).toEqual([]);
    expect(
      await enders({ eos_token: '<none>', chat_template: '{{ messages[1].content }} <|endoftext|>' }),
    ).toEqual([TEXT_END]);
  });

  it('are told of no template that ends answers with text, refuses, or is broken', async () => {
    for (const chat_template of [
      '{{ messages[1].content }}\n### End',
      '{{ raise_exception("no") }}',
      '{{ nosuch() }}',
      'fixed',
    ])
      expect(await enders({ eos_token: '<|endoftext|>', chat_template })).toEqual([TEXT_END]);
  });
});

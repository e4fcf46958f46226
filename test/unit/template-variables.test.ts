// Variables of chat templates: given by the caller, as transformers gives them; checked, and warned of where they are not read.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkOptions } from '../../src/engine/options.ts';
import { type ChatTurn, chatTemplate } from '../../src/formats/chat-template.ts';
import { unreadVariables } from '../../src/formats/template-variables.ts';
import { loadTokenizer } from '../../src/formats/tokenizer.ts';
import { memorySource } from '../support/memory-source.ts';
import { thinkingFiles } from '../support/thinking-model.ts';

interface Fixtures {
  templates: Record<string, string>;
  conversations: Record<string, Record<string, unknown>>;
  cases: { name: string; template: string; variables: string; text?: string }[];
}

const { templates, conversations, cases } = JSON.parse(
  readFileSync(join(import.meta.dirname, '../fixtures/chat-templates.json'), 'utf8'),
) as Fixtures;

const special = { bos_token: '<s>', eos_token: '</s>' };
const templateOf = (text: string) => chatTemplate(() => ({ file: 'chat_template.jinja', text }), special);

describe('a conversation with variables', () => {
  it.each(cases.filter(({ text }) => text !== undefined))('$name', ({ template, variables, text }) => {
    const { messages, tools, add_generation_prompt, bos_token, eos_token, ...templateVariables } =
      conversations[variables]!;
    // Without tools in its text, a template is not given any.
    if (tools && !/\btools\b/.test(templates[template]!)) return;
    const written = templateOf(templates[template]!)(messages as ChatTurn[], {
      addGenerationPrompt: add_generation_prompt as boolean,
      ...(tools ? { tools: tools as object[] } : {}),
      templateVariables,
    });
    expect(written).toBe(text);
  });
});

describe('variables', () => {
  it('that a template reads are known', () => {
    const read = (name: string) => templateOf(templates[name]!).variables();
    expect(read('qwen3')).toEqual(['enable_thinking']);
    expect(read('granite thinking')).toEqual(['controls', 'documents', 'thinking']);
    expect(read('deepseek')).toEqual([]);
    expect(read('smollm3')).toEqual(
      expect.arrayContaining(['enable_thinking', 'python_tools', 'today', 'xml_tools']),
    );
    expect(templateOf('{% if').variables()).toEqual([]);
  });

  it('that it does not read are named, with those that it does', () => {
    const { qwen3 } = templates;
    const read = templateOf(qwen3!).variables();
    expect(unreadVariables({ enable_thinking: true }, read)).toBeUndefined();
    expect(unreadVariables({}, read)).toBeUndefined();
    expect(unreadVariables({ thinking: 1, enable_thinking: true, b: 2 }, read)).toMatch(
      /does not read the variable "thinking", "b"\. It reads enable_thinking\.$/,
    );
    expect(unreadVariables({ a: 1 }, [])).toMatch(
      /does not read the variable "a"\. It reads no variables\.$/,
    );
  });

  it('that it does not read are warned of, once', () => {
    const warnings: string[] = [];
    const { qwen3 } = templates;
    const warn = (message: string) => void warnings.push(message);
    const template = chatTemplate(() => ({ file: 'chat_template.jinja', text: qwen3! }), special, warn);
    const messages = [{ role: 'user', content: 'Hi' }];
    for (const name of ['enable_thinking', 'thinking', 'thinking', 'date'])
      template(messages, { templateVariables: { [name]: true } });
    expect(warnings).toEqual(
      ['thinking', 'date'].map(
        (name) =>
          `The chat template of the model does not read the variable "${name}". It reads enable_thinking.`,
      ),
    );
  });

  it('are JSON, and none that the template has of its own', () => {
    const deep: unknown[] = [];
    let inner = deep;
    for (let i = 0; i < 200; i++) {
      const next: unknown[] = [];
      inner.push(next);
      inner = next;
    }
    const ring: unknown[] = [];
    ring.push(ring);
    const check = (templateVariables: unknown) => () => checkOptions({ templateVariables } as object, 10);
    for (const odd of [null, 1, 'a', [], new Map([['a', 1]]), new Date(), () => 1])
      expect(check(odd)).toThrow('"templateVariables"');
    for (const odd of [
      undefined,
      Number.NaN,
      1n,
      () => 1,
      new Date(),
      [undefined],
      { b: Number.POSITIVE_INFINITY },
      deep,
      ring,
    ])
      expect(check({ a: odd })).toThrow('"templateVariables.a"');
    for (const name of [
      'messages',
      'tools',
      'add_generation_prompt',
      'bos_token',
      'strftime_now',
      'loop',
      'true',
    ])
      expect(check({ [name]: 1 })).toThrow(`"${name}"`);
    const good = { a: [1, 'b', null, { c: false }], b: Object.create(null), documents: [] };
    expect(checkOptions({ templateVariables: good }, 10).templateVariables).toEqual(good);
    expect(() =>
      templateOf('{{ a }}')([{ role: 'user', content: '' }], { templateVariables: { tools: 1 } }),
    ).toThrow('"tools"');
  });

  it('tags are found in the vocabulary where the template shows none', async () => {
    const tagsOf = async (tags: 'token' | 'text') => {
      const files = thinkingFiles('plain', tags);
      return (await loadTokenizer(memorySource(files), 300)).thoughtTags;
    };
    expect(await tagsOf('token')).toEqual([{ open: '<think>', close: '</think>' }]);
    expect(await tagsOf('text')).toEqual([]);
  });
});

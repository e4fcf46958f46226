// Chat templates against Python's jinja2 with transformers' settings: fixtures of scripts/make-template-fixtures.py.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Template as Dependency } from '@huggingface/jinja';
import { describe, expect, it } from 'vitest';
import { Refusal, TemplateFault } from '../../src/formats/jinja/faults.ts';
import { Template } from '../../src/formats/jinja/template.ts';

type Variables = Record<string, unknown>;
type Outcome = { text: string } | { refused: string } | { failed: string };
interface Fixtures {
  templates: Record<string, string>;
  reads: Record<string, string[]>;
  conversations: Record<string, Variables>;
  cases: ({ name: string; template: string; variables: string } & Outcome)[];
  variables: Variables;
  pieces: ({ template: string; reads: string[] | null } & Outcome)[];
}

const fixtures = JSON.parse(
  readFileSync(join(import.meta.dirname, '../fixtures/chat-templates.json'), 'utf8'),
) as Fixtures;

function expectOutcome(template: string, variables: Variables, expected: Outcome): void {
  const render = (): string => new Template(template).render(variables);
  if ('text' in expected) expect(render()).toBe(expected.text);
  else if ('failed' in expected) expect(render).toThrow();
  else {
    expect(render).toThrow(Refusal);
    expect(render).toThrow(expected.refused.replace('TemplateError: ', ''));
  }
}

describe('templates in the manner of published ones', () => {
  it.each(fixtures.cases)('$name', ({ template, variables, name: _, ...expected }) =>
    expectOutcome(fixtures.templates[template]!, fixtures.conversations[variables]!, expected),
  );

  it.each(Object.keys(fixtures.templates))('%s with the line ends of Windows and of old Macs', (name) => {
    const text = fixtures.templates[name]!;
    for (const end of ['\r\n', '\r'])
      for (const { template, variables, name: _, ...expected } of fixtures.cases)
        if (template === name)
          expectOutcome(text.replaceAll('\n', end), fixtures.conversations[variables]!, expected);
  });
});

describe('what a template reads of its caller', () => {
  /** Names that every template finds set. */
  const GLOBALS = /^(range|dict|namespace|joiner|cycler|raise_exception|strftime_now|loop|caller)$/;
  const readBy = (text: string): string[] =>
    [...new Template(text).variables].filter((name) => !GLOBALS.test(name)).sort();

  it('is what transformers would be given', () => {
    expect(readBy(fixtures.templates.qwen3!)).toEqual(
      ['add_generation_prompt', 'enable_thinking', 'messages', 'tools'].sort(),
    );
    expect(readBy(fixtures.templates['granite thinking']!)).toEqual(
      ['add_generation_prompt', 'controls', 'documents', 'messages', 'thinking', 'tools'].sort(),
    );
    expect(readBy(fixtures.templates.llama3!)).toContain('date_string');
  });

  it.each(Object.entries(fixtures.reads))(
    '%s: no more than jinja2 finds, and all that matters',
    (name, reads) => {
      const text = fixtures.templates[name]!;
      const own = readBy(text);
      expect(reads).toEqual(expect.arrayContaining(own));
      // jinja2 also names what it cannot tell to be set: giving that changes nothing.
      for (const variable of reads.filter((each) => !own.includes(each)))
        for (const { template, variables, name: _, ...expected } of fixtures.cases)
          if (template === name)
            expectOutcome(text, { ...fixtures.conversations[variables]!, [variable]: 'ODD' }, expected);
    },
  );

  it('is what jinja2 finds in pieces of templates', () => {
    const wrong = fixtures.pieces.filter(({ template, reads }) => {
      if (!reads) return false;
      try {
        const own = readBy(template);
        return own.join() !== reads.filter((name) => !GLOBALS.test(name)).join();
      } catch {
        return false;
      }
    });
    expect(wrong.map(({ template, reads }) => [template, reads, readBy(template)])).toEqual([]);
  });
});

describe('pieces of templates', () => {
  it.each(fixtures.pieces)('$template', ({ template, reads: _, ...expected }) =>
    expectOutcome(template, fixtures.variables, expected),
  );

  it('None that is given is not the same as nothing', () => {
    const render = (text: string): string => new Template(text).render({});
    expect(render('{% macro m(a=1) %}{{ a }}{% endmacro %}{{ m(none) }}{{ m() }}')).toBe('None1');
    expect(render('{{ {"a": none}.get("a", 1) }}{{ {}.get("a", 1) }}')).toBe('None1');
    expect(render('{{ x|default(none) }}')).toBe('None');
    expect(render('{{ [{"a": none}]|map(attribute="a")|list }}')).toBe('[None]');
  });

  it('loops in loops end', () => {
    const many = '{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}';
    expect(() => new Template(many).render({})).toThrow('turns');
  });

  it('what never ends, or is too large, is the fault of the template', () => {
    for (const text of [
      '{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}',
      '{% macro a(x=b()) %}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ b() }}',
      '{% macro m(n) %}{% if n %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(1000) }}',
      `{{ ${'('.repeat(2500)}1${')'.repeat(2500)} }}`,
      `{{ ${'1 + '.repeat(9999)}1 }}`,
      '{{ "a" * 9007199254740993 }}',
      '{{ [0] * 1000000000 }}',
      '{% set n = namespace(a=[0]) %}{% for i in range(40) %}{% set n.a = n.a + n.a %}{% endfor %}',
      '{{ 10 ** 100000000 }}',
      '{{ "%.3000000f" % 1.5 }}',
      '{{ "{:.3000000e}".format(1.5) }}',
      '{{ 1.5|round(3000000) }}',
      '{% break %}',
      '{% macro m() %}{% continue %}{% endmacro %}{{ m() }}',
    ])
      expect(() => new Template(text).render({}), text.slice(0, 80)).toThrow(TemplateFault);
    expect(new Template('{{ 1 ** 100000000 }}{{ (-1) ** 100000001 }}{{ 0 ** 99999999 }}').render({})).toBe(
      '1-10',
    );
    expect(new Template('{{ ([1, 2] * 50000)|length }}{{ (1,) * 2 }}{{ [1] * -1 }}').render({})).toBe(
      '100000(1, 1)[]',
    );
    const deep = '{% macro m(n) %}{% if n %}{{ m(n - 1) }}{% else %}end{% endif %}{% endmacro %}{{ m(150) }}';
    expect(new Template(deep).render({})).toBe('end');
  });

  it('chained comparisons are refused: the parser reads them from left to right', () => {
    for (const text of [
      '{{ 3 > 2 > 1 }}',
      '{{ 1 < 3 < 2 }}',
      '{{ 1 == 1 == 1 }}',
      '{{ "a" in "ab" == "ab" }}',
    ])
      expect(() => new Template(text).render({}), text).toThrow(TemplateFault);
    expect(new Template('{{ (3 > 2) == (2 in [2]) and 2 > 1 }}').render({})).toBe('True');
  });

  it('a filter, test, function, method or tag that there is not is the fault of the template', () => {
    for (const text of [
      '{{ s|nosuch }}',
      '{{ s is nosuch }}',
      '{{ nosuch() }}',
      '{{ s.nosuch() }}',
      '{% nosuch %}',
      '{% if',
      '{{ s',
    ])
      expect(() => new Template(text).render({ s: 'a' })).toThrow(TemplateFault);
  });

  it('writes the time in English, as Python does', () => {
    const now = (format: string): string => new Template(`{{ strftime_now('${format}') }}`).render({});
    const date = new Date();
    expect(now('%Y')).toBe(String(date.getFullYear()));
    expect(now('%d %b %Y, %A')).toMatch(
      /^\d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4}, (Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day$/,
    );
    expect(now('%H:%M:%S %-d %j %%')).toMatch(/^\d\d:\d\d:\d\d [1-9]\d? \d{3} %$/);
  });
});

// When all of these are right, src/formats/jinja/ can go: the interpreter of the dependency does then.
describe('@huggingface/jinja is still wrong', () => {
  const said = (text: string, variables: Variables = {}): string => {
    try {
      return new Dependency(text).render(variables);
    } catch (error) {
      return `error: ${error}`;
    }
  };
  it.each<[string, string]>([
    ['{{ "\\n\\n  x".lstrip("\\n") }}', '  x'],
    ['{{ "x--".rstrip("-") }}', 'x'],
    ['{{ "--x--".strip("-") }}', 'x'],
    ['{{ none }}{{ true }}', 'NoneTrue'],
    ['{{ [1, "a"] }}', "[1, 'a']"],
    ['{% for i in [1, 2] %}a{% continue %}{% endfor %}', 'aa'],
    ['a\r\n{% if true %}\r\nb{% endif %}', 'a\nb'],
    ['{{ 4 is divisibleby(2) }}', 'True'],
    ['{{ [" a"]|map("trim")|first }}', 'a'],
    ['{% for i in [1, 2] %}{% if loop.first %}{% set y = i %}{% endif %}{{ y }};{% endfor %}', '1;;'],
  ])('%s', (template, right) => {
    expect(new Template(template).render({})).toBe(right);
    expect(said(template)).not.toBe(right);
  });
});

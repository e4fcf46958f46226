// What runs in the chat page beside the model: its calculator, its clock, names, links, limits of memory, languages.
import { describe, expect, it, test } from 'vitest';
import { calculate } from '../../demo/chat/calculator.ts';
import { KNOWN, sourceOf, storedBytes } from '../../demo/chat/known.ts';
import { plainName } from '../../demo/chat/names.ts';
import { isPhone, memoryLimit } from '../../demo/chat/phone.ts';
import { runTool, toolsForModel } from '../../demo/chat/tools.ts';
import { de } from '../../demo/text/de.ts';
import { en } from '../../demo/text/en.ts';
import { preferredLanguage } from '../../demo/text/index.ts';
import { specOf } from '../../src/families/index.ts';
import { ownTensors, parameterCount } from '../../src/model/spec.ts';
import published from '../fixtures/published-configs.json' with { type: 'json' };

describe('the calculator', () => {
  test.each([
    ['1 + 2 * 3', 7],
    ['(1 + 2) * 3', 9],
    ['2 ^ 3 ^ 2', 512],
    ['-2 ** 2', -4],
    ['2 * -3', -6],
    ['10 % 4 - 7 / 2', -1.5],
    ['0.1 + 0.2', 0.3],
    ['sqrt(16) + ln(e) + cos(0)', 6],
    ['1.5e3*.5', 750],
    ['PI', Math.PI],
    [' ( ( 7 ) ) ', 7],
  ])('%s', (expression, value) => {
    expect(calculate(expression)).toBeCloseTo(value, 12);
  });

  test.each([
    ['', 'too early'],
    ['1 +', 'too early'],
    ['(1', '")" is missing'],
    ['1 2', '"2" is not understood'],
    ['1 / 0', 'divides by zero'],
    ['alert(1)', '"alert" is not understood'],
    ['constructor', '"constructor" is not understood'],
    ['sqrt(0 - 1)', 'no finite number'],
    ['9 ^ 9999', 'no finite number'],
    ['$', '"$" is not understood'],
    [`${'('.repeat(200_000)}1`, 'too deeply'],
    ['-'.repeat(200_000), 'too deeply'],
  ])('what is wrong is said: %.20s', (expression, problem) => {
    expect(() => calculate(expression)).toThrow(problem);
  });
});

it('tools run by name, and a failure is told to the model', () => {
  expect(runTool('calculator', '{"expression":"6*7"}')).toBe('42');
  expect(runTool('clock', '')).toContain(String(new Date().getFullYear()));
  expect(runTool('calculator', '{"expression":"x"}')).toBe('Error: "x" is not understood.');
  expect(runTool('calculator', '{')).toMatch(/^Error: /);
  expect(runTool('rm', '{}')).toBe('Error: there is no tool "rm".');
  expect(toolsForModel()).toHaveLength(2);
  expect(JSON.stringify(toolsForModel())).not.toContain('run');
});

it('names show no more than what they are', () => {
  expect(plainName('a\u202egnp.exe\u0000\n')).toBe('agnp.exe');
  expect(plainName('x'.repeat(500))).toHaveLength(120);
  expect(plainName('👩‍👧 مرحبا')).toBe('👩‍👧 مرحبا');
});

it('phones have a limit of memory, and small desktops', () => {
  const iphone = { userAgent: 'Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X)', maxTouchPoints: 5 };
  const ipad = { userAgent: 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)', maxTouchPoints: 5 };
  expect([isPhone(iphone as Navigator), isPhone(ipad as Navigator)]).toEqual([true, true]);
  expect(isPhone({ ...ipad, maxTouchPoints: 0 } as Navigator)).toBe(false);
  expect(memoryLimit({ phone: true, deviceGb: undefined })).toBe(1.2e9);
  expect(memoryLimit({ phone: true, deviceGb: 4 })).toBe(1.6e9);
  expect(memoryLimit({ phone: true, deviceGb: 0.25 })).toBe(0.5e9);
  expect(memoryLimit({ phone: false, deviceGb: 8 })).toBeUndefined();
  expect(memoryLimit({ phone: false, deviceGb: undefined })).toBeUndefined();
  expect(memoryLimit({ phone: false, deviceGb: 2 })).toBe(1e9);
});

describe('known models', () => {
  test.each(KNOWN.map((model) => [model.id, model] as const))(
    '%s has the sizes of its files',
    async (_, model) => {
      const spec = specOf(model.config);
      expect(parameterCount(spec)).toBe(model.parameters);
      // As the published config says, in all that shapes follow from.
      const base = model.id.replace(/-it$/, '');
      const own = published.find(({ repo }) => repo === model.id || repo === base)!;
      expect(sizesOf(spec)).toEqual(sizesOf(specOf(own.config)));
      const source = await sourceOf(model);
      expect(await source.size!('model.safetensors')).toBeGreaterThan(storedBytes(model));
      expect(await source.size!('tokenizer.json')).toBeNull();
    },
  );
});

const sizesOf = (spec: ReturnType<typeof specOf>) => ({
  tensors: ownTensors(spec),
  positions: spec.maxPositions,
  mixers: spec.blocks.map(({ mixer }) => mixer.kind),
});

it('both languages have the same texts', () => {
  const shape = (value: unknown): unknown =>
    typeof value === 'object' && value !== null
      ? Object.fromEntries(Object.entries(value).map(([name, of]) => [name, shape(of)]))
      : typeof value;
  expect(shape(de)).toEqual(shape(en));
  const same = Object.entries(de.page).filter(
    ([name, said]) => said === en.page[name as keyof typeof en.page],
  );
  // Words that both languages have.
  expect(same.map(([name]) => name)).toEqual(['topP', 'topK', 'minP']);
});

it('the language is the chosen one, else the first of the browser that there is', () => {
  expect(preferredLanguage('de', ['en-GB'])).toBe('de');
  expect(preferredLanguage(null, ['fr', 'de-AT', 'en'])).toBe('de');
  expect(preferredLanguage('constructor', ['fr'])).toBe('en');
});

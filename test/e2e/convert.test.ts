import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Page } from 'playwright';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import type { ConvertReport } from '../../src/convert/report.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { type HubServer, startHub } from '../support/hub-server.ts';
import { tabs } from '../support/tabs.ts';
import { randomModel, tinyFiles, tinyModel } from '../support/tiny-models.ts';

const LONG = 120_000;
const withParent = existsSync(join(import.meta.dirname, '../../demo/public/models/parent/config.json'));

const openTab = tabs();
let page: Page;
let problems: string[];

const PLAIN = '{% for message in messages %}{{ message.content }}{% endfor %}';
const TOOLS = 'additional_chat_templates/tool_use.jinja';
/** Chat templates, of which one is in a folder inside the model's. */
const templates = {
  'chat_template.jinja': new TextEncoder().encode(PLAIN),
  [TOOLS]: new TextEncoder().encode(`{{ tools | length }}${PLAIN}`),
};

let hub: HubServer;
beforeAll(async () => {
  hub = await startHub({ 'some/tiny': { files: { ...filesOf('mobilellm'), ...templates } } });
});
afterAll(() => hub.close());

async function open(width = 1200, script: () => void = () => {}): Promise<void> {
  ({ page, problems } = await openTab({ viewport: { width, height: 800 } }));
  await page.addInitScript(script);
  await page.goto(new URL(`convert.html?hub=${hub.endpoint}`, inject('demoUrl')).href);
}

/** The page listens once the included parent is in its form, or there is none. */
const listening = () => page.waitForSelector(withParent ? '#openers button' : '#settings');

const notice = () => expect.poll(() => page.textContent('#notices'), { timeout: 45_000 });
const analysed = () =>
  page.waitForFunction(() => document.querySelectorAll('#report canvas').length >= 4, null, {
    timeout: LONG,
  });
const wide = (): Promise<number> =>
  page.evaluate(() =>
    Math.max(document.documentElement.scrollWidth, document.querySelector('main')!.scrollWidth),
  );

type Tiny = 'llama' | 'shishu' | 'mobilellm' | 'granite';

/** The files of a tiny model, whose text is single characters; of a Granite, what blocks add has a factor. */
function filesOf(name: Tiny): Record<string, Uint8Array> {
  const model = tinyModel(name === 'granite' ? 'mobilellm' : name, 7);
  const { share_embedding: _, ...json } = model.configJson;
  const multiplied = { ...json, model_type: 'granite', residual_multiplier: 0.5, tie_word_embeddings: true };
  return {
    ...tinyFiles(name === 'granite' ? randomModel(multiplied, 7) : model),
    ...charTokenizerFiles(),
  };
}

async function chooseTiny(name: Tiny): Promise<void> {
  await page.evaluate(
    (parts) => {
      const data = new DataTransfer();
      for (const [file, bytes] of parts) data.items.add(new File([new Uint8Array(bytes)], file));
      document.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true }));
    },
    Object.entries(filesOf(name)).map(([file, bytes]) => [file, [...bytes]] as const),
  );
  await expect.poll(() => page.inputValue('[name=parent]')).toContain('dropped files');
}

async function dropText(text: string, name = 'text.txt'): Promise<void> {
  await page.evaluate(
    ([content, file]) => {
      const data = new DataTransfer();
      data.items.add(new File([content!], file!));
      document.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true }));
    },
    [text, name],
  );
  await expect
    .poll(() => page.textContent('#texts'))
    .toContain(`${text.length.toLocaleString('en')} characters`);
}

const more = () =>
  page.locator('details.more').evaluate((details) => {
    (details as HTMLDetailsElement).open = true;
  });
const made = () => page.waitForSelector('#chat-with-it', { timeout: LONG });
const forecast = () => expect.poll(() => page.textContent('#forecast'), { timeout: 45_000 });
const line = () => expect.poll(() => page.textContent('#progress-text'), { timeout: LONG });

/** All lines of progress from now on. */
async function heardLines(): Promise<() => Promise<string[]>> {
  const heard = await page.evaluateHandle(() => {
    const lines: string[] = [];
    const text = document.querySelector('#progress-text')!;
    const hear = (): unknown => lines.push(text.textContent!);
    new MutationObserver(hear).observe(text, { childList: true });
    return lines;
  });
  return () => heard.jsonValue();
}

const announced = (what: string) =>
  expect.poll(() => page.textContent('#announce'), { timeout: LONG }).toBe(what);

/** Downloads a child's files. @returns their names, and its report */
async function saved(): Promise<{ files: string[]; report: ConvertReport }> {
  const files: string[] = [];
  let report: ConvertReport | undefined;
  page.on('download', async (file) => {
    if (file.suggestedFilename() === 'report.json')
      report = JSON.parse(await readFile(await file.path(), 'utf8'));
    files.push(file.suggestedFilename());
  });
  await page.click('#save-files');
  const said = (): Promise<string | null> => page.textContent('#notices');
  await expect.poll(said, { timeout: 20_000 }).toMatch(/^Saved the \d+ files/);
  const count = Number(/\d+/.exec((await said())!)![0]);
  await expect.poll(() => files.length, { timeout: 20_000 }).toBe(count);
  return { files, report: report! };
}

const letters = (count: number): string =>
  Array.from({ length: count }, (_, i) => String.fromCharCode(33 + ((i * i + 7 * i) % 59))).join('');

test.runIf(withParent)(
  'the embedded parent is analysed, on 360 pixels',
  async () => {
    await open(360);
    await listening();
    await page.fill('[name=tokens]', '320');
    await more();
    await page.fill('[name=window]', '64');
    await forecast().toMatch(/^8 blocks, .* million parameters in F\d+, 4 lose .* Memory: .* Time: about/);
    await page.click('#analyse');
    await analysed();
    // The software adapter of the tests has timestamp-query.
    expect(await page.locator('#report figcaption').allTextContents()).toContainEqual(
      expect.stringContaining('GPU time of one token'),
    );
    expect(await page.textContent('#report thead')).toMatch(/attention µs.*map µs.*MLP µs.*MLP bytes/);
    expect(await page.getAttribute('[name=keep]', 'placeholder')).toBe('4 of 8');
    expect(await wide()).toBeLessThanOrEqual(360);
    expect(problems).toEqual([]);
  },
  LONG,
);

test(
  'what cannot be is said, beforehand where it can be, and stopping early leaves nothing',
  async () => {
    await open();
    await listening();
    await page.fill('[name=heal]', '0');
    await more();
    await page.fill('[name=window]', '48');
    await chooseTiny('shishu');
    await forecast().toContain('a ShishuLM already');
    await page.click('#run');
    await notice().toContain('a ShishuLM already');

    await chooseTiny('llama');
    await dropText('ABC');
    await forecast().toMatch(/^3 blocks, .* 1 lose .* Text: at least 115 tokens/);
    await page.click('#analyse');
    await notice().toMatch(/has 3 tokens, .* needs 115/);
    await page.click('#run');
    await notice().toMatch(/has 3 tokens, .* needs 115/);
    await page.fill('[name=tokens]', 'many');
    await page.click('#run');
    await expect.poll(() => page.getAttribute('[name=tokens]', 'aria-invalid')).toBe('true');
    await page.fill('[name=tokens]', '8000');
    await dropText('{"messages": 1}', 'chats.jsonl');
    await page.click('#run');
    await notice().toContain('chats.jsonl, line 1: there are no "messages"');
    await page.click('[aria-label="Remove chats.jsonl"]');

    await dropText(letters(480));
    await page.selectOption('[name=target]', 'memory');
    await page.fill('[name=memory]', '-99%');
    await page.click('#run');
    await notice().toContain('cannot be reached');
    await page.selectOption('[name=target]', 'layers');
    await page.fill('[name=layers]', '0,3');
    await page.click('#run');
    await notice().toContain('Layer 3 is not an attention block');
    await page.fill('[name=layers]', '2-1');
    await page.click('#run');
    await expect.poll(() => page.getAttribute('[name=layers]', 'aria-invalid')).toBe('true');
    await page.fill('[name=layers]', '1');
    await page.fill('[name=rank]', '5000');
    await page.click('#run');
    await notice().toContain('The rank of maps is 5000');
    expect(await page.getAttribute('[name=rank]', 'aria-invalid')).toBe('true');
    await page.fill('[name=rank]', '0');
    // A parent that the trainer lacks something for can be converted, and not healed.
    await chooseTiny('granite');
    await page.fill('[name=heal]', '100');
    await page.press('[name=heal]', 'Tab');
    const lacking = 'The trainer has no factors beside the weights (of residual, scores).';
    await forecast().toContain(lacking);
    await page.click('#run');
    await notice().toContain(lacking);
    expect(await page.isVisible('#made')).toBe(false);
    expect(await page.isVisible('#unfinished')).toBe(false);
    expect(problems).toEqual([]);
  },
  LONG,
);

test(
  'a parent of a hub is converted and healed; a closed tab goes on from what is kept, then both answer',
  async () => {
    await open(380);
    await listening();
    await page.fill('[name=parent]', 'some/tiny');
    await page.dispatchEvent('[name=parent]', 'change');
    await dropText(letters(900));
    await page.fill('[name=heal]', '4000');
    await more();
    await page.fill('[name=window]', '24');
    await page.selectOption('[name=trained]', 'all');
    await page.fill('[name=memoryLimit]', '0.001');
    await page.press('[name=memoryLimit]', 'Tab');
    await forecast().toMatch(/Healing takes \d\.\d MB of GPU memory, of 1\.0 MB that it may/);
    await page.selectOption('[name=trained]', 'auto');
    await page.fill('[name=memoryLimit]', '1');
    // Key by key: a text that is put in as a whole is no change of the reader's to Firefox.
    await page.locator('[name=healRate]').pressSequentially('2');
    await page.press('[name=healRate]', 'Tab');
    // The forecast tells, and the reader may go on writing elsewhere.
    await forecast().toContain('The learning rate is "2"');
    expect(await page.getAttribute('[name=healRate]', 'aria-invalid')).toBeNull();
    expect(await page.evaluate(() => document.activeElement!.getAttribute('name'))).not.toBe('healRate');
    await page.click('#run');
    await notice().toContain('The learning rate is "2"');
    expect(await page.getAttribute('[name=healRate]', 'aria-invalid')).toBe('true');
    await page.fill('[name=healRate]', '0.01');
    // More often than the line of progress is said.
    await page.fill('[name=checkpoints]', '0.01');
    await page.fill('[name=name]', 'tried');
    await page.press('[name=name]', 'Enter');
    await line().toMatch(/^healing: step (?:[3-9]|\d\d) of \d+, loss [\d.]+/);
    expect(await page.isVisible('#settings')).toBe(false);
    expect(await page.textContent('#time-left')).toMatch(/^\d+:\d\d so far, about .* left in all$/);
    expect(await page.locator('.stages .done').count()).toBeGreaterThanOrEqual(5);
    await expect
      .poll(() => page.locator('#work figure:not([hidden]) canvas').count())
      .toBeGreaterThanOrEqual(3);
    expect(await wide()).toBeLessThanOrEqual(380);
    page.on('dialog', (dialog) => void dialog.accept());
    await page.reload();

    const lines = await heardLines();
    await page.click('[aria-label="Go on with tried"]');
    await line().toMatch(/^healing: step (?:[4-9]|\d\d)/);
    expect(await lines()).toContainEqual(expect.stringMatching(/^healing: going on behind step \d+ of/));
    await page.click('#cancel');
    await announced('Stopped: it can be gone on with.');
    await page.click('[aria-label="Go on with tried"]');
    await made();
    expect(await page.isVisible('#unfinished')).toBe(false);
    const table = page.locator('#result table').first();
    expect(await table.locator('tbody th').allTextContents()).toEqual([
      'parent',
      'attention dropped',
      'linear maps',
      'written',
      'healed',
    ]);
    const head = await table.locator('thead th').allTextContents();
    expect(head).toEqual(
      expect.arrayContaining(['Perplexity, text', 'Other text', 'Weights', 'KV a token', 'ms a token']),
    );
    expect(await wide()).toBeLessThanOrEqual(380);

    await page.fill('#side-by-side [name=prompt]', 'AB<I>C');
    await page.click('#ask-both');
    await announced('Both have answered.');
    expect(await page.locator('.said').allTextContents()).not.toContain('…');
    expect(await page.locator('.panes i').count()).toBe(0);

    const { report } = await saved();
    // It came nearer to its parent.
    const losses = report.healing!.curve.map(({ loss }) => loss);
    const mean = (some: number[]): number => some.reduce((a, b) => a + b, 0) / some.length;
    expect(mean(losses.slice(-5))).toBeLessThan(mean(losses.slice(0, 5)));
    expect(problems).toEqual([]);
  },
  2 * LONG,
);

test(
  'a child is healed further, twice, with all that is in its folder, and removed',
  async () => {
    await open();
    await listening();
    await page.fill('[name=parent]', 'some/tiny');
    await dropText(letters(900));
    await page.selectOption('[name=target]', 'layers');
    await page.fill('[name=layers]', '1');
    await page.fill('[name=heal]', '0');
    await more();
    await page.fill('[name=window]', '24');
    await page.fill('[name=name]', 'tried');
    await page.press('[name=name]', 'Enter');
    await made();
    for (const next of ['tried-more', 'tried-more-2']) {
      await page.fill('[name=more]', 'many');
      await page.press('[name=more]', 'Enter');
      await notice().toContain('"many" is no number of tokens');
      await page.fill('[name=more]', '200');
      await page.press('[name=more]', 'Enter');
      await announced(`${next} is made.`);
    }
    const healings = page.locator('#result .hint', { hasText: /^healed: perplexity/ });
    expect(await healings.count()).toBe(2);
    const steps = await page.locator('#result table').first().locator('tbody th').allTextContents();
    expect(steps.slice(-2)).toEqual(['healed on', 'healed on']);
    const { report, files } = await saved();
    expect(report.healing!.earlier).toHaveLength(1);
    expect(files).toEqual(expect.arrayContaining(['model.safetensors', 'tool_use.jinja']));
    expect(files).not.toContain('conversion.json');
    await notice().toContain(`in which they are called ${TOOLS}.`);

    for (const name of ['tried-more-2', 'tried-more', 'tried']) {
      await page.click(`[aria-label="Remove ${name}"]`);
      await announced(`${name} is removed.`);
    }
    expect(await page.isVisible('#made')).toBe(false);
    expect(problems).toEqual([]);
  },
  2 * LONG,
);

test('a phone is told why not', async () => {
  await open(360, () =>
    Object.defineProperty(navigator, 'userAgent', {
      get: () => 'Mozilla/5.0 (Linux; Android 15; Pixel 9) Mobile',
    }),
  );
  await expect.poll(() => page.textContent('#welcome')).toContain('Not on a phone');
  expect(await page.isVisible('#settings')).toBe(false);
});

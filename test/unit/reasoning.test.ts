// What a reply reasons, told apart from its answer: by text, by tokens, under constraints, within a budget.
import { describe, expect, it, test } from 'vitest';
import { generateReplies } from '../../src/engine/generate.ts';
import { MaskCache } from '../../src/engine/mask-cache.ts';
import { checkOptions } from '../../src/engine/options.ts';
import { reasoningOf } from '../../src/engine/reasoning.ts';
import { Reply } from '../../src/engine/reply.ts';
import { Scheduler } from '../../src/engine/scheduler.ts';
import type { GenerateOptions, GenerateResult, Message } from '../../src/engine/types.ts';
import { ReasoningFilter, THOUGHT_TAGS, type ThoughtTags } from '../../src/formats/reasoning.ts';
import { loadTokenizer, type Tokenizer } from '../../src/formats/tokenizer.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import type { Plan } from '../../src/model/spec.ts';
import { FakeRunner } from '../support/fake-runner.ts';
import { memorySource } from '../support/memory-source.ts';
import { mulberry32 } from '../support/random.ts';
import { TEMPLATES, thinkingFiles } from '../support/thinking-model.ts';

const THINK: ThoughtTags = { open: '<think>', close: '</think>' };

/** Replies, and what they part into. */
const TEXTS: [string, string, string | undefined, opened?: boolean][] = [
  ['<think>\nFirst.\n\nThen.\n</think>\n\n    x = [1]\n', '    x = [1]\n', 'First.\n\nThen.'],
  ['<think>\n\n</think>\n\nYes', 'Yes', ''],
  ['<think></think>Yes', 'Yes', ''],
  [' \n<think>a</think> b', ' b', 'a'],
  ['<think>never closed </thin', '', 'never closed </thin'],
  ['<think>ends in lines\n\n', '', 'ends in lines'],
  ['<think>', '', ''],
  ['<thin', '<thin', undefined],
  ['<thinker> no', '<thinker> no', undefined],
  ['  plain < text\n', '  plain < text\n', undefined],
  ['A <think>tag</think> in an answer', 'A <think>tag</think> in an answer', undefined],
  ['<think>a<think>b</thi</think></think>\n', '</think>\n', 'a<think>b</thi'],
  ['\n  ', '\n  ', undefined],
  ['', '', undefined],
  ['[THINK]é👋[/THINK]\r\né👋', 'é👋', 'é👋'],
  ['So.\n</think>\n\nYes', 'Yes', 'So.', true],
  ['</think>Yes', 'Yes', '', true],
  ['\n\n', '', '', true],
];

describe('texts', () => {
  /** A reply in pieces. */
  function parted(pieces: readonly string[], opened?: boolean) {
    const filter = new ReasoningFilter(THOUGHT_TAGS, opened ? THINK : undefined);
    const parts = [...pieces.map((piece) => filter.push(piece)), filter.flush()];
    const reasoning = parts.flatMap((part) => part.reasoning ?? []);
    return {
      text: parts.map(({ text }) => text).join(''),
      reasoning: reasoning.length > 0 ? reasoning.join('') : undefined,
    };
  }

  it.each(TEXTS)('%j', (whole, text, reasoning, opened) => {
    expect(parted([whole], opened)).toEqual({ text, reasoning });
    for (let at = 0; at <= whole.length; at++)
      expect(parted([whole.slice(0, at), whole.slice(at)], opened)).toEqual({ text, reasoning });
    expect(parted(whole.split(''), opened)).toEqual({ text, reasoning });
  });

  it('drawn at random, and cut at random', () => {
    const random = mulberry32(7);
    const below = (most: number): number => Math.floor(random() * most);
    const words = [
      '<think>',
      '</think>',
      '<',
      '/',
      '</thi',
      'think>',
      '\n',
      '\n\n',
      ' ',
      'a',
      'answer',
      '👋',
      '[THINK]',
      '[/THINK]',
    ];
    for (let round = 0; round < 3000; round++) {
      const whole = Array.from({ length: below(9) }, () => words[below(words.length)]).join('');
      const opened = below(3) === 0;
      const pieces: string[] = [];
      for (let at = 0; at < whole.length; ) {
        const length = 1 + below(5);
        pieces.push(whole.slice(at, at + length));
        at += length;
      }
      expect([whole, parted(pieces, opened)]).toEqual([whole, parted([whole], opened)]);
    }
  });
});

const tokenizers: Record<string, Tokenizer> = {};
for (const template of Object.keys(TEMPLATES) as (keyof typeof TEMPLATES)[])
  for (const tags of ['control', 'token', 'text'] as const)
    tokenizers[`${template} ${tags}`] = await loadTokenizer(memorySource(thinkingFiles(template, tags)), 300);

const messages: Message[] = [{ role: 'user', content: 'Hi' }];
const idsOf = (tokenizer: Tokenizer, text: string): number[] =>
  tokenizer.encode(text, { addSpecialTokens: false });

/** What becomes of a model's tokens, as `generate` tells it. */
function replyTo(tokenizer: Tokenizer, tokens: readonly number[], options: GenerateOptions = {}) {
  const checked = checkOptions(options, 300);
  const prompt = tokenizer.encodeChat(messages, checked);
  const reply = new Reply(tokenizer, {
    enders: new Set(tokenizer.enders),
    stop: checked.stop,
    limit: tokens.length + 1,
    continued: [],
    constraint: undefined,
    reasoning: reasoningOf(tokenizer, messages, prompt, checked),
  });
  const chunks = tokens.flatMap((tokenId) => {
    const chunk = reply.finishReason ? undefined : reply.take({ tokenId, logprobs: undefined });
    return chunk ? [chunk] : [];
  });
  const rest = reply.flush();
  if (rest) chunks.push(rest);
  expect(chunks.map(({ text }) => text).join('')).toBe(reply.text);
  const told = chunks.flatMap(({ reasoning }) => reasoning ?? []).join('');
  expect(told).toBe(reply.reasoning ?? '');
  const { text, reasoning, finishReason, reasoningTokens } = reply;
  return { text, reasoning, finishReason, reasoningTokens, chunks };
}

describe('tokens', () => {
  const SAID = '<think>\nHm, the é.\n</think>\n\nthe answer 👋';

  it.each(['qwen control', 'qwen token', 'qwen text'])('%s', (name) => {
    const tokenizer = tokenizers[name]!;
    const whole = replyTo(tokenizer, idsOf(tokenizer, SAID));
    expect(whole).toMatchObject({ text: 'the answer 👋', reasoning: 'Hm, the é.' });
    // In tokens as a model may choose them, down to single bytes.
    const random = mulberry32(3);
    for (let round = 0; round < 200; round++) {
      const tokens: number[] = [];
      for (const part of SAID.split(/(<\/?think>)/)) {
        if (part.startsWith('<') && name !== 'qwen text') {
          tokens.push(...idsOf(tokenizer, part));
          continue;
        }
        for (let at = 0; at < part.length; ) {
          let length = 1 + Math.floor(random() * 4);
          // No half of a pair.
          if (/[\ud800-\udbff]/.test(part[at + length - 1] ?? '')) length++;
          tokens.push(...idsOf(tokenizer, part.slice(at, at + length)));
          at += length;
        }
      }
      expect(replyTo(tokenizer, tokens)).toMatchObject({ text: whole.text, reasoning: whole.reasoning });
    }
  });

  it('begin inside of what the prompt has opened', () => {
    for (const name of ['deepseek control', 'deepseek token', 'deepseek text']) {
      const tokenizer = tokenizers[name]!;
      const said = idsOf(tokenizer, 'Hm.\n</think>\n\nYes');
      const { text, reasoning, chunks } = replyTo(tokenizer, said);
      expect([text, reasoning]).toEqual(['Yes', 'Hm.']);
      expect(chunks[0]).toEqual({ text: '', reasoning: 'H', tokenId: said[0] });
      expect(chunks.at(-1)).toEqual({ text: 's', tokenId: said.at(-1) });
      expect(replyTo(tokenizer, [])).toMatchObject({ text: '', reasoning: '' });
    }
  });

  it.each(['qwen control', 'qwen token', 'qwen text'])('%s: a tag behind half a character', (name) => {
    const tokenizer = tokenizers[name]!;
    const said = idsOf(tokenizer, '<think>Hm é</think>é, 👋');
    said.splice(said.findIndex((id) => tokenizer.decode([id]).includes('\ufffd')) + 1, 1);
    expect(replyTo(tokenizer, said)).toMatchObject({ text: 'é, 👋', reasoning: 'Hm \ufffd' });
  });

  it('that never close are all reasoning', () => {
    const tokenizer = tokenizers['qwen token']!;
    const cut = replyTo(tokenizer, idsOf(tokenizer, '<think>\nOn and on<|im_end|>'));
    expect(cut).toMatchObject({ text: '', reasoning: 'On and on', finishReason: 'stop' });
  });

  it('are what they were where the model does not reason, or nobody asks', () => {
    const plain = tokenizers['plain text']!;
    const said = idsOf(plain, SAID);
    const { chunks, text, reasoning } = replyTo(plain, said);
    expect([text, reasoning]).toEqual([SAID, undefined]);
    expect(chunks.every((chunk) => !('reasoning' in chunk))).toBe(true);
    const qwen = tokenizers['qwen text']!;
    expect(replyTo(qwen, said, { reasoningTags: false })).toMatchObject({ text: SAID, chunks });
    expect(replyTo(qwen, idsOf(qwen, 'the answer'))).toMatchObject({
      text: 'the answer',
      reasoning: undefined,
    });
  });

  it('in tags that the caller names', () => {
    const plain = tokenizers['plain text']!;
    const reasoningTags = { open: '((', close: '))' };
    expect(replyTo(plain, idsOf(plain, '((Hm))Yes'), { reasoningTags })).toMatchObject({
      text: 'Yes',
      reasoning: 'Hm',
    });
  });

  it('end at a stop string, in reasoning and in the answer', () => {
    const tokenizer = tokenizers['qwen control']!;
    const said = idsOf(tokenizer, '<think>\nOne. Two.\n</think>\n\nOne. Two.');
    expect(replyTo(tokenizer, said, { stop: ' Tw' })).toMatchObject({
      text: '',
      reasoning: 'One.',
      finishReason: 'stop',
    });
    expect(replyTo(tokenizer, said, { stop: '</think>' })).toMatchObject({
      text: '',
      reasoning: 'One. Two.',
    });
    expect(replyTo(tokenizer, said, { stop: '\n\nOne. ' })).toMatchObject({
      text: '',
      reasoning: 'One. Two.',
    });
    expect(replyTo(tokenizer, said, { stop: '.x' })).toMatchObject({
      text: 'One. Two.',
      reasoning: 'One. Two.',
    });
  });
});

describe('constraints', () => {
  /** Chooses a wanted token wherever it is allowed, else the first that is. */
  function constrained(name: string, constraint: object, wanted: string, options: GenerateOptions = {}) {
    const tokenizer = tokenizers[name]!;
    const masks = new MaskCache(tokenizer, 300).of(constraint as never);
    const checked = checkOptions({ ...options, constraint: constraint as never }, 300);
    const prompt = tokenizer.encodeChat(messages, checked);
    return { tokenizer, masks, checked, prompt, wanted: idsOf(tokenizer, wanted) };
  }

  async function say(
    call: ReturnType<typeof constrained>,
  ): Promise<{ text: string; reasoning: string | undefined; taken: number }> {
    const { constraintOf } = await import('../../src/engine/reasoning.ts');
    const { tokenizer, masks, checked, prompt, wanted } = call;
    const reasoning = reasoningOf(tokenizer, messages, prompt, checked);
    const enders = new Set(tokenizer.enders);
    const constraint = constraintOf(tokenizer, masks, enders, reasoning);
    const reply = new Reply(tokenizer, {
      ...{ enders, stop: [], limit: 99, continued: [], constraint },
      reasoning: reasoning?.closed ? undefined : reasoning,
    });
    let taken = 0;
    while (!reply.finishReason) {
      const mask = constraint.mask();
      const allows = (id: number): boolean => ((mask[id >> 5]! >> (id & 31)) & 1) === 1;
      const next = wanted[taken]!;
      if (next === undefined) break;
      if (!allows(next)) return { text: reply.text, reasoning: reply.reasoning, taken };
      reply.take({ tokenId: next, logprobs: undefined });
      taken++;
    }
    reply.flush();
    return { text: reply.text, reasoning: reply.reasoning, taken };
  }

  const JSON_SCHEMA = {
    jsonSchema: {
      type: 'object',
      properties: { a: { type: 'integer' } },
      required: ['a'],
      additionalProperties: false,
    },
  };

  it.each(['qwen control', 'qwen token', 'qwen text'])('%s: hold for the answer', async (name) => {
    const call = constrained(name, JSON_SCHEMA, '<think>\nAny { text: 1 }, </thin\n</think>{"a":1}');
    expect(await say(call)).toMatchObject({ text: '{"a":1}', reasoning: 'Any { text: 1 }, </thin' });
    // The end, or an answer that is none, is not let through.
    for (const [wanted, most] of [
      ['<think>Hm<|im_end|>', '<think>Hm'],
      ['<think>Hm</think>no', '<think>Hm</think>'],
      ['Hm', ''],
      ['<tha', name === 'qwen text' ? '<th' : ''],
    ] as const) {
      const bad = constrained(name, JSON_SCHEMA, wanted);
      const { taken } = await say(bad);
      expect(bad.tokenizer.decode(bad.wanted.slice(0, taken), { skipSpecialTokens: false })).toBe(most);
    }
    expect(await say(constrained(name, JSON_SCHEMA, '{"a":1}'))).toMatchObject({
      text: '{"a":1}',
      reasoning: undefined,
    });
  });

  it('hold from the first token where the prompt has closed the reasoning', async () => {
    const options = { templateVariables: { enable_thinking: false } };
    const call = constrained('qwen token', JSON_SCHEMA, '<think>', options);
    expect(await say(call)).toMatchObject({ taken: 0 });
    expect(await say(constrained('qwen token', JSON_SCHEMA, '{"a":1}', options))).toMatchObject({
      text: '{"a":1}',
    });
  });

  it('may begin as the tag does', async () => {
    const call = { regex: '<tool>[a-z]+' };
    expect(await say(constrained('qwen text', call, '<tool>now'))).toMatchObject({ text: '<tool>now' });
    expect(await say(constrained('qwen text', call, '<think>Hm</think><tool>now'))).toMatchObject({
      text: '<tool>now',
      reasoning: 'Hm',
    });
    expect((await say(constrained('qwen text', call, '<tx'))).taken).toBe(2);
    // One that holds the tag itself is meant for the whole reply.
    const whole = constrained('qwen text', { regex: '<think>[0-9]</think>ok' }, '<think>1</think>ok');
    expect(await say(whole)).toMatchObject({ taken: whole.wanted.length });
  });

  it.each(['qwen control', 'qwen token', 'qwen text'])('%s: hold behind half a character', async (name) => {
    const call = constrained(name, { regex: 'yes|no' }, '<think>Hm é</think>yes');
    const half = call.wanted.findIndex((id) => call.tokenizer.decode([id]).includes('\ufffd'));
    call.wanted.splice(half + 1, 1);
    expect(await say(call)).toMatchObject({ text: 'yes', reasoning: 'Hm \ufffd' });
  });

  it('hold behind what the prompt has opened', async () => {
    const call = constrained('deepseek text', { regex: 'yes|no' }, 'Hm.\n</think>yes');
    expect(await say(call)).toMatchObject({ text: 'yes', reasoning: 'Hm.' });
  });
});

describe('a budget', () => {
  const PLAN: Plan = [0, 1].map((layer) => ({ kind: 'attention', layer, mlp: layer }));
  const LIMIT = 160;

  /** A tokenizer for the fake GPU's 97 tokens: `o`, `c` are tags, the rest letters of their own. */
  const letters = Array.from({ length: 100 }, (_, id) => String.fromCodePoint(0x4e00 + id));
  const fake = {
    size: 100,
    enders: [],
    thoughtTags: [THINK],
    isSilent: () => false,
    decode: (ids: readonly number[]) =>
      ids.map((id) => (id === 98 ? '<think>' : id === 99 ? '</think>' : letters[id])).join(''),
    encode: (text: string) =>
      text.includes('</think>') ? (text.startsWith('\n\n</think>') ? [99, 1] : [2, 3, 99, 1]) : [98],
  } as unknown as Tokenizer;

  async function generated(
    options: GenerateOptions,
    { opened = true, n = 1, others = 0 } = {},
  ): Promise<{ results: GenerateResult[]; runner: FakeRunner; promptTokenIds: number[] }> {
    const runner = new FakeRunner(n + others, 2, 8);
    Object.assign(runner.parts, { kv: { sequences: n + others, context: LIMIT, dtype: 'f16' } });
    const scheduler = new Scheduler(runner.asRunner(), { ready: async () => {}, still() {} });
    const checked = checkOptions({ seed: 1, maxTokens: 30, ...options }, 100);
    const promptTokenIds = opened ? [7, 8, 98] : [7, 8, 9];
    const speaker = {
      gpu: {} as Gpu,
      runner: runner.asRunner(),
      scheduler,
      tokenizer: fake,
      eosTokenIds: [],
      still() {},
    };
    const run = async (replies: number): Promise<GenerateResult[]> => {
      const stream = generateReplies(speaker, {
        ...{ promptTokenIds, prompt: messages, replies, options: checked, masks: undefined },
        plan: () => PLAN,
      });
      const ids = Array.from({ length: replies }, (): number[] => []);
      for (;;) {
        const step = await stream.next();
        if (step.done) {
          expect(step.value.map(({ tokenIds }) => tokenIds)).toEqual(ids);
          return step.value;
        }
        ids[step.value.index]!.push(step.value.tokenId);
      }
    };
    const all = await Promise.all([run(n), ...Array.from({ length: others }, () => run(1))]);
    return { results: all.flat(), runner, promptTokenIds };
  }

  /** The fake GPU's next token of a text. */
  const nextOf = (text: readonly number[]): number =>
    text.reduce((sum, each, i) => (sum * 31 + each + i) % 97, 7);

  test.each([0, 1, 2, 3, 7, 19])(
    'of %i tokens: the tokens that close it are in the reply and in the cache',
    async (budget) => {
      const { results, runner, promptTokenIds } = await generated({ reasoningBudget: budget });
      const [{ tokenIds, text, reasoning, usage }] = results as [GenerateResult];
      const closing = budget === 0 ? [99, 1] : [2, 3, 99, 1];
      expect(tokenIds.slice(budget, budget + closing.length)).toEqual(closing);
      expect(tokenIds).toHaveLength(30);
      // Everything else is what the model says of the text before it.
      tokenIds.forEach((id, i) => {
        if (i < budget || i >= budget + closing.length)
          expect(id).toBe(nextOf([...promptTokenIds, ...tokenIds.slice(0, i)]));
      });
      expect(runner.wrong).toEqual([]);
      expect(reasoning).toBe(fake.decode([...tokenIds.slice(0, budget), ...(budget ? [2, 3] : [])]));
      expect(text).toBe(fake.decode(tokenIds.slice(budget + closing.length - 1)));
      expect(usage.reasoningTokens).toBe(budget + closing.length - 1);
    },
  );

  test('of several replies and of calls at once', async () => {
    const { results, runner } = await generated({ reasoningBudget: 5 }, { n: 3, others: 2 });
    const alone = (await generated({ reasoningBudget: 5 })).results[0]!;
    for (const result of results) expect(result.tokenIds).toEqual(alone.tokenIds);
    expect(runner.wrong).toEqual([]);
    const closed = await generated({ reasoningBudget: 0 }, { n: 3, others: 2 });
    for (const { tokenIds } of closed.results) expect(tokenIds).toEqual(closed.results[0]!.tokenIds);
    expect(closed.results[0]!.tokenIds.slice(0, 2)).toEqual([99, 1]);
    expect(closed.runner.wrong).toEqual([]);
  });

  test('that is not met, or of a reply that does not reason, changes nothing', async () => {
    const free = (await generated({})).results[0]!;
    expect((await generated({ reasoningBudget: 31 })).results[0]!.tokenIds).toEqual(free.tokenIds);
    const plain = (await generated({}, { opened: false })).results[0]!;
    expect((await generated({ reasoningBudget: 0 }, { opened: false })).results[0]!.tokenIds).toEqual(
      plain.tokenIds,
    );
    expect(plain).not.toHaveProperty('reasoning');
    expect(plain.usage).not.toHaveProperty('reasoningTokens');
  });

  test('ends with the tag, also where a stop string holds its text back', () => {
    const tokenizer = tokenizers['qwen control']!;
    for (const stop of ['</think>\n\nNo', '</think>x', '\n</think>\n\nYes.'])
      for (const budget of [1, 2, 3, 4, 5, 6]) {
        const checked = checkOptions({ stop, reasoningBudget: budget }, 300);
        const reply = new Reply(tokenizer, {
          ...{
            enders: new Set<number>(),
            stop: checked.stop,
            limit: 99,
            continued: [],
            constraint: undefined,
          },
          reasoning: reasoningOf(tokenizer, messages, [], checked),
        });
        const closing = idsOf(tokenizer, '<think>Hm\n</think>\n\nYes').flatMap((tokenId) => {
          reply.take({ tokenId, logprobs: undefined });
          return reply.close();
        });
        reply.flush();
        // Three tokens are reasoning: no budget of more closes it.
        expect([stop, budget, closing.length > 0]).toEqual([stop, budget, budget <= 3]);
        if (budget > 3) expect(reply).toMatchObject({ text: 'Yes', reasoning: 'Hm' });
      }
    const empty = replyTo(tokenizer, idsOf(tokenizer, '<think></think>Yes'), { stop: '<think>x' });
    expect(empty).toMatchObject({ text: 'Yes', reasoning: '' });
  });

  test('that maxTokens cuts', async () => {
    for (const [maxTokens, reasoningBudget] of [
      [1, 0],
      [2, 0],
      [6, 5],
      [9, 5],
      [5, 5],
    ] as const) {
      const { results } = await generated({ maxTokens, reasoningBudget });
      expect(results[0]!.tokenIds).toHaveLength(maxTokens);
      expect(results[0]!.finishReason).toBe('length');
    }
  });

  test('that the caller ends the reply with', async () => {
    const { results } = await generated({ reasoningBudget: 2, stopTokenIds: [99] });
    expect(results[0]!.tokenIds.slice(2)).toEqual([2, 3]);
    expect(results[0]).toMatchObject({ finishReason: 'stop', text: '' });
  });

  test('of reasoning that is not told apart is an error that names it', () => {
    const checked = checkOptions({ reasoningBudget: 3 }, 100);
    expect(() => reasoningOf(fake, 'text', [1], checked)).toThrow('"reasoningBudget"');
    expect(() => reasoningOf(fake, messages, [1], { ...checked, reasoningTags: false })).toThrow(
      '"reasoningTags"',
    );
    expect(reasoningOf(fake, 'text', [1], { ...checked, reasoningTags: THINK })).toMatchObject({ budget: 3 });
  });
});

import { describe, expect, it } from 'vitest';
import { type EvalModel, judge, reportOf, windowsOf } from '../../src/eval/judge.ts';
import { type Item, parseTask } from '../../src/eval/task.ts';

/** A letter a token; each is as likely as exp of minus its place in the alphabet, a space exp(-0.5), others exp(-50). */
const likely = (code: number): number => (code === 32 ? -0.5 : code > 96 && code < 123 ? 96 - code : -50);
function lettersModel(contextLength = 100) {
  const scored: string[] = [];
  const prompts: unknown[] = [];
  const model = {
    info: { contextLength },
    encode: async (text: string) => Array.from(text, (letter) => letter.charCodeAt(0)),
    score: async (ids: readonly number[]) => {
      scored.push(String.fromCharCode(...ids));
      return {
        nll: 0,
        top1: new Uint32Array(),
        logprobs: Float32Array.from(ids, (id, i) => (i === 0 ? 0 : likely(id))),
      };
    },
    applyChatTemplate: async ([message]: { content: string }[]) => `<${message!.content}>`,
    async *generate(prompt: unknown, options: unknown) {
      prompts.push([prompt, options]);
      yield { text: ' four', tokenId: 1 };
      return { text: ' four\n', finishReason: 'stop' };
    },
  } as unknown as EvalModel;
  return { model, scored, prompts };
}

describe('a task', () => {
  it('has three kinds of items, a line each', () => {
    const file = [
      '{"prompt": "2 + 2 =", "choices": ["4", "5"], "answer": 0, "id": "a"}',
      '',
      '{"prompt": "2 + 2 =", "answer": "4"}\r',
      '{"prompt": "2 + 2 =", "answer": ["4", "four"]}',
      '{"text": "It is."}',
    ].join('\n');
    expect(parseTask(file, 't')).toEqual([
      { kind: 'choice', prompt: '2 + 2 =', choices: ['4', '5'], answer: 0 },
      { kind: 'match', prompt: '2 + 2 =', answers: ['4'] },
      { kind: 'match', prompt: '2 + 2 =', answers: ['4', 'four'] },
      { kind: 'text', text: 'It is.' },
    ]);
  });

  it.each([
    ['{', /Line 1 of t: it is no JSON/],
    ['{"text": "a"}\n[]', /Line 2 of t: it is none of/],
    ['{"text": ""}', /"text" is no text/],
    ['{"text": "a", "prompt": "b"}', /"text" stands alone/],
    ['{"prompt": 1, "answer": "a"}', /"prompt" is no text/],
    ['{"prompt": "a"}', /"answer" is no text/],
    ['{"prompt": "a", "answer": []}', /"answer" is no text/],
    ['{"prompt": "a", "choices": ["b"], "answer": 0}', /two texts or more/],
    ['{"prompt": "a", "choices": ["b", "c"], "answer": 2}', /from 0 to 1/],
    ['{"prompt": "a", "choices": ["b", "c"], "answer": "b"}', /from 0 to 1/],
    ['{"prompt": "a", "answer": "b", "label": 1}', /"label" is no field/],
    ['\n \n', /t has no questions/],
  ])('%s is refused', (file, message) => {
    expect(() => parseTask(file, 't')).toThrow(message);
  });
});

describe('a choice', () => {
  const item: Item = { kind: 'choice', prompt: 'q', choices: ['aaaa', 'c', 'aa'], answer: 2 };

  it('is the likeliest continuation, whole or by its length', async () => {
    const { model, scored } = lettersModel();
    const outcome = await judge(model, item);
    expect(scored).toEqual(['q aaaa', 'q c', 'q aa']);
    expect(outcome).toEqual({
      kind: 'choice',
      right: true,
      rightNormed: false,
      logprobs: [-4.5, -3.5, -2.5],
    });
  });

  it('has the space at the end of its prompt, and what it is told to have', async () => {
    const { model, scored } = lettersModel();
    await judge(model, { ...item, prompt: 'q ' }, { delimiter: '' });
    expect(scored[0]).toBe('q aaaa');
    await judge(model, item, { chat: true });
    expect(scored[3]).toBe('<q>aaaa');
    const empty = await judge(model, { ...item, prompt: '' }, { delimiter: '', prefix: 33 });
    expect(scored[6]).toBe('!aaaa');
    expect(empty).toMatchObject({ logprobs: [-4, -3, -2] });
  });
});

it('a reply matches but for the space around it', async () => {
  const { model, prompts } = lettersModel();
  const item: Item = { kind: 'match', prompt: 'q', answers: ['4', 'four'] };
  expect(await judge(model, item)).toEqual({ kind: 'match', right: true, said: 'four' });
  expect(
    await judge(model, { ...item, answers: ['4'] }, { chat: true, stop: ['x'], maxTokens: 3 }),
  ).toMatchObject({
    right: false,
  });
  expect(prompts).toEqual([
    ['q', { stop: ['\n\n'], maxTokens: 256, temperature: 0 }],
    [[{ role: 'user', content: 'q' }], { stop: ['x'], maxTokens: 3, temperature: 0 }],
  ]);
});

describe('a text', () => {
  it('counts each token but the first once, however long it is', async () => {
    const text: Item = { kind: 'text', text: 'ab cab' };
    const whole = await judge(lettersModel().model, text);
    expect(whole).toEqual({ kind: 'text', logprob: -8.5, words: 2, bytes: 6 });
    for (let context = 2; context < 8; context++)
      expect(await judge(lettersModel(context).model, text), `${context}`).toEqual(whole);
    expect(await judge(lettersModel().model, text, { prefix: 33 })).toMatchObject({ logprob: -9.5 });
  });

  it('runs in windows, of which the last has all the context that it can have', () => {
    expect(windowsOf([1, 2, 3, 4, 5, 6], 4)).toEqual([
      { ids: [1, 2, 3, 4], from: 1 },
      { ids: [3, 4, 5, 6], from: 2 },
    ]);
    expect(windowsOf([1], 4)).toEqual([]);
  });
});

it('a report has the figures of what there was', () => {
  const choice = (right: boolean, rightNormed: boolean) =>
    ({ kind: 'choice', right, rightNormed, logprobs: [] as number[] }) as const;
  expect(reportOf([choice(true, false), choice(true, false), choice(false, false)])).toEqual({
    items: { choice: 3, match: 0, text: 0 },
    figures: {
      acc: { value: 2 / 3, stderr: expect.closeTo(1 / 3, 10) },
      acc_norm: { value: 0, stderr: 0 },
    },
  });
  const text = { kind: 'text', logprob: -Math.log(16), words: 2, bytes: 4 } as const;
  expect(reportOf([text, text, { kind: 'match', right: true, said: '' }]).figures).toEqual({
    exact_match: { value: 1 },
    word_perplexity: { value: expect.closeTo(4, 10) },
    byte_perplexity: { value: expect.closeTo(2, 10) },
    bits_per_byte: { value: expect.closeTo(1, 10) },
  });
});

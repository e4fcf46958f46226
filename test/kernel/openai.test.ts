// Chat completions over a whole model: their text, usage and log-probabilities are those of `generate`.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chatCompletions } from '../../src/api/openai.ts';
import { loadModel } from '../../src/engine/engine.ts';
import type { EngineModel } from '../../src/engine/model-interface.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { memorySource } from '../support/memory-source.ts';
import { resultOf } from '../support/streams.ts';
import { tinyFiles, tinyModel } from '../support/tiny-models.ts';

const template =
  '{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}>{% endif %}';

let model: EngineModel;
beforeAll(async () => {
  model = await loadModel(
    memorySource({
      ...tinyFiles(tinyModel('shishu', 7)),
      ...charTokenizerFiles(131),
      'tokenizer_config.json': JSON.stringify({ eos_token: '</s>', chat_template: template }),
    }),
    { contextLength: 96 },
  );
});
afterAll(() => model.dispose());

const messages = [{ role: 'user', content: 'HELLO' }];

async function generated(options: Parameters<EngineModel['generate']>[1]) {
  await model.reset();
  const result = await resultOf(model.generate(messages, options));
  await model.reset();
  return result;
}

describe('chat completions', () => {
  test('say what generate says, whole and in chunks', async () => {
    const chat = chatCompletions(model);
    for (const [request, options] of [
      [
        { temperature: 0, max_tokens: 12 },
        { temperature: 0, maxTokens: 12 },
      ],
      [
        { temperature: 0.9, seed: 5, max_tokens: 12, frequency_penalty: 1 },
        { temperature: 0.9, seed: 5, maxTokens: 12, frequencyPenalty: 1 },
      ],
    ] as const) {
      const expected = await generated(options);
      const whole = await chat.create({ messages, ...request });
      expect(whole.choices[0]!.message.content).toBe(expected.text);
      expect(whole.choices[0]!.finish_reason).toBe(expected.finishReason);
      expect(whole.usage).toEqual({
        prompt_tokens: 6,
        completion_tokens: expected.tokenIds.length,
        total_tokens: 6 + expected.tokenIds.length,
        prompt_tokens_details: { cached_tokens: 0 },
      });
      let text = '';
      for await (const { choices } of await chat.create({ messages, stream: true, ...request }))
        text += choices[0]?.delta.content ?? '';
      expect(text).toBe(expected.text);
    }
  });

  test('count what the cache had', async () => {
    const chat = chatCompletions(model);
    await model.reset();
    const first = await chat.create({ messages, temperature: 0, max_tokens: 4 });
    const answer = first.choices[0]!.message.content!;
    const longer = [
      ...messages,
      { role: 'assistant', content: `>${answer}` },
      { role: 'user', content: 'AGAIN' },
    ];
    const second = await chat.create({ messages: longer, temperature: 0, max_tokens: 4 });
    expect(second.usage.prompt_tokens).toBe(6 + answer.length + 6);
    // The last token of the first answer was never run.
    expect(second.usage.prompt_tokens_details.cached_tokens).toBe(6 + answer.length - 1);
  });

  test('n replies from one prompt differ by seed and can be had again', async () => {
    const chat = chatCompletions(model);
    const request = { messages, n: 3, seed: 11, temperature: 1.5, max_tokens: 16 };
    const texts = async () => (await chat.create(request)).choices.map(({ message }) => message.content);
    const once = await texts();
    expect(new Set(once).size).toBe(3);
    expect(await texts()).toEqual(once);
  });

  test('log-probabilities name the chosen token first when it is the likeliest', async () => {
    const chat = chatCompletions(model);
    const request = { messages, temperature: 0, max_tokens: 5, logprobs: true, top_logprobs: 3 };
    const { choices } = await chat.create(request);
    const content = choices[0]!.logprobs!.content!;
    expect(content.map(({ token }) => token).join('')).toBe(choices[0]!.message.content);
    for (const { token, logprob, top_logprobs: top } of content) {
      expect(top).toHaveLength(3);
      expect(top[0]).toMatchObject({ token });
      expect(top[0]!.logprob).toBeCloseTo(logprob, 5);
      expect(top.map((each) => each.logprob)).toEqual(top.map((each) => each.logprob).sort((a, b) => b - a));
    }
  });
});

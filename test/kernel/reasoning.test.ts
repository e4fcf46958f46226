// Models that reason before they answer, whole: their template's variables, what is told of a reply, and its budget.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chatCompletions } from '../../src/api/openai.ts';
import { loadModel } from '../../src/engine/engine.ts';
import type { EngineModel } from '../../src/engine/model-interface.ts';
import type {
  GenerateChunk,
  GenerateOptions,
  GenerateResult,
  Message,
  Prompt,
} from '../../src/engine/types.ts';
import { memorySource } from '../support/memory-source.ts';
import { collect } from '../support/streams.ts';
import { thinkingFiles, thinkingModel } from '../support/thinking-model.ts';
import { randomModel, tinyFiles, tinyModel } from '../support/tiny-models.ts';

const messages: Message[] = [{ role: 'user', content: 'Why?' }];
const open: EngineModel[] = [];
const warnings: string[] = [];
const load = async (files: Record<string, string | Uint8Array>, batch = 1): Promise<EngineModel> => {
  const options = { contextLength: 512, batch, warn: (text: string) => warnings.push(text) };
  open.push(await loadModel(memorySource(files), options));
  return open.at(-1)!;
};
let model: EngineModel;
beforeAll(async () => {
  model = await load(thinkingModel(), 2);
});
afterAll(() => Promise.all(open.map((each) => each.dispose())));

async function generated(
  from: EngineModel,
  prompt: Prompt,
  options: GenerateOptions,
): Promise<GenerateResult & { chunks: GenerateChunk[] }> {
  const { items, value } = await collect(from.generate(prompt, options));
  return { ...value, chunks: items };
}

describe('a model that reasons', () => {
  test('tells it apart from the answer, or leaves it as it is', async () => {
    const { text, reasoning, chunks, usage, finishReason } = await generated(model, messages, {});
    expect([reasoning, text, finishReason]).toEqual(['Quick brown.', 'Yes!', 'stop']);
    expect(chunks.flatMap((chunk) => chunk.reasoning ?? []).join('')).toBe('Quick brown.');
    expect(usage).toMatchObject({ reasoningTokens: 15, completionTokens: 19 });
    const raw = await generated(model, messages, { reasoningTags: false });
    expect(raw.text).toBe('<think>Quick brown.</think>\nYes!');
    expect(raw).not.toHaveProperty('reasoning');
    const prompt = await model.applyChatTemplate(messages);
    expect((await generated(model, prompt, {})).text).toBe(raw.text);
  });

  test('does not where the template says so, and is warned of what it does not read', async () => {
    expect(model.templateVariables).toEqual(['enable_thinking']);
    const templateVariables = { enable_thinking: false };
    expect(await model.applyChatTemplate(messages, { templateVariables })).toBe(
      'user: Why?\n<|im_start|><think>\n\n</think>\n\n',
    );
    const quick = await generated(model, messages, { templateVariables });
    expect(quick.text).toBe('Yes!');
    expect(quick).not.toHaveProperty('reasoning');
    expect(warnings).toEqual([]);
    await generated(model, messages, { templateVariables: { enable_thinkin: false }, maxTokens: 1 });
    await model.applyChatTemplate(messages, { templateVariables: { enable_thinkin: false } });
    expect(warnings).toEqual([
      'The chat template of the model does not read the variable "enable_thinkin". It reads enable_thinking.',
    ]);
    for (const [options, prompt, said] of [
      [{ templateVariables: { tools: [] } }, messages, 'cannot be named "tools"'],
      [{ templateVariables: { a: Number.NaN } }, messages, '"templateVariables.a"'],
      [{ templateVariables }, 'text', '"templateVariables" is for messages'],
      [{ reasoningBudget: 3 }, 'text', '"reasoningBudget"'],
      [{ reasoningTags: { open: '', close: '' } }, messages, '"reasoningTags"'],
    ] as [GenerateOptions, Prompt, string][])
      await expect(generated(model, prompt, options), said).rejects.toThrow(said);
  });

  test('answers within its budget', async () => {
    for (const reasoningBudget of [0, 1, 5]) {
      const { reasoning, text, tokenIds, chunks } = await generated(model, messages, {
        reasoningBudget,
        logprobs: true,
      });
      const said = 'Quick brown.'.slice(0, reasoningBudget);
      expect(text).toBe('Yes!');
      expect(reasoning!.startsWith(said)).toBe(true);
      expect(reasoning!.slice(said.length)).toBe(
        reasoningBudget === 0
          ? ''
          : '\n\nConsidering the limited time by the user, I have to give the solution based on the thinking directly now.',
      );
      const whole = await model.decode(tokenIds);
      expect(whole).toMatch(/^<think>.*<\/think>\n\nYes!$/s);
      // The model chose the opening tag, what it thought, and its answer.
      expect(chunks.filter(({ logprob }) => logprob)).toHaveLength(1 + reasoningBudget + 4);
    }
    expect((await generated(model, messages, { reasoningBudget: 13 })).reasoning).toBe('Quick brown.');
  });

  test('keeps a constraint in its answer', async () => {
    const { reasoning, text } = await generated(model, messages, { constraint: { regex: 'Ye[a-z]\\?' } });
    expect([reasoning, text]).toEqual(['Quick brown.', 'Yes?']);
    const budget = await generated(model, messages, { constraint: { regex: 'Yes|No' }, reasoningBudget: 3 });
    expect([budget.reasoning!.slice(0, 4), budget.text]).toEqual(['Qui\n', 'Yes']);
  });

  test("is asked in OpenAI's names", async () => {
    const { create } = chatCompletions(model);
    const whole = await create({ messages, n: 2, temperature: 0, logprobs: true });
    for (const { message, logprobs } of whole.choices) {
      expect(message).toMatchObject({ content: 'Yes!', reasoning_content: 'Quick brown.' });
      expect(logprobs!.content!.map(({ token }) => token).join('')).toBe('Yes!');
    }
    const quick = await create({
      messages,
      temperature: 0,
      chat_template_kwargs: { enable_thinking: false },
    });
    expect(quick.choices[0]!.message).toEqual({ role: 'assistant', content: 'Yes!', refusal: null });
    const budget = await create({ messages, temperature: 0, thinking_token_budget: 0 });
    expect(budget.choices[0]!.message).toMatchObject({ content: 'Yes!' });
  });
});

test('what the budget puts in is in the cache as what the model chose', async () => {
  const { configJson } = tinyModel('llama', 5);
  const files = tinyFiles(randomModel({ ...configJson, vocab_size: 300, max_position_embeddings: 512 }, 5));
  const random = await load({ ...files, ...thinkingFiles('deepseek', 'text') }, 3);
  const options = { ignoreEos: true, maxTokens: 170 };
  for (const reasoningBudget of [0, 1, 2, 9]) {
    const { tokenIds, promptTokenIds } = await generated(random, messages, { ...options, reasoningBudget });
    const free = (await generated(random, messages, options)).tokenIds;
    const closed = (await random.decode(tokenIds)).indexOf('</think>\n\n');
    expect(closed).toBeGreaterThanOrEqual(0);
    expect(tokenIds.slice(0, reasoningBudget)).toEqual(free.slice(0, reasoningBudget));
    // A fresh run of the same text goes on as the reply did.
    const upTo = 150;
    await random.reset();
    const again = await generated(random, [...promptTokenIds, ...tokenIds.slice(0, upTo)], {
      ignoreEos: true,
      maxTokens: 20,
    });
    expect(tokenIds.slice(upTo)).toEqual(again.tokenIds);
    const together: number[][] = [[], [], []];
    for await (const { index, tokenId } of random.generateBatch(messages, 3, { ...options, reasoningBudget }))
      together[index]!.push(tokenId);
    for (const ids of together) expect(ids.slice(0, 170)).toEqual(tokenIds);
  }
});

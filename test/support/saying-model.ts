import { type ChatModel, chatCompletions } from '../../src/api/openai.ts';
import { checkOptions } from '../../src/engine/options.ts';
import type { GenerateChunk, GenerateOptions, GenerateResult, Message } from '../../src/engine/types.ts';

export type Said = Pick<GenerateChunk, 'text' | 'reasoning'>;

/** A model that says some pieces; its options are judged by the engine's own check. */
export function sayingModel(pieces: readonly Said[], more: Partial<ChatModel> = {}) {
  const calls: { prompt: readonly Message[]; options: GenerateOptions }[] = [];
  const templated: unknown[] = [];
  const model: ChatModel = {
    async *generate(prompt, options = {}): AsyncGenerator<GenerateChunk, GenerateResult, undefined> {
      checkOptions(options, 100);
      calls.push({ prompt, options });
      for (const [tokenId, said] of pieces.entries())
        yield { ...said, tokenId, ...(options.logprobs && { logprob: { logprob: -1 - tokenId, top: [] } }) };
      const reasoningTokens = pieces.filter(({ reasoning }) => reasoning !== undefined).length;
      const usage = { promptTokens: 2, completionTokens: pieces.length, totalTokens: 9, cachedTokens: 0 };
      return {
        text: pieces.map(({ text }) => text).join(''),
        promptTokenIds: [],
        tokenIds: [],
        finishReason: 'stop',
        usage: { ...usage, ...(reasoningTokens > 0 && { reasoningTokens }) },
        timings: {} as GenerateResult['timings'],
      };
    },
    decode: async (ids) => ids.map((id) => `<${id}>`).join(''),
    thoughtTags: [{ open: '<think>', close: '</think>' }],
    async applyChatTemplate(_, options) {
      templated.push(options);
      return 'prompt<think>\n';
    },
    ...more,
  };
  return { chat: chatCompletions(model), model, calls, templated };
}

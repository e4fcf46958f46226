import { chatCompletions } from '../../src/api/openai.ts';
import type { ServedModel } from '../../src/doors/openai-http.ts';
import { checkOptions } from '../../src/engine/options.ts';
import type { GenerateChunk, GenerateOptions, GenerateResult, Prompt } from '../../src/engine/types.ts';

const WORDS = ['', 'Hel', 'lo', '', '!', '\ufffd'];
export const usage = { promptTokens: 12, completionTokens: 4, totalTokens: 16, cachedTokens: 5 };

/**
 * A model that says "Hello!" and notes how it was asked; its options are judged by the engine's own check.
 * @param result of `generate`, where it is another
 */
export function fakeModel(result: Partial<GenerateResult> = {}) {
  const calls: { prompt: Prompt; options: GenerateOptions }[] = [];
  const seen = { returned: 0 };
  const model: ServedModel = {
    async *generate(prompt, options = {}): AsyncGenerator<GenerateChunk, GenerateResult, undefined> {
      checkOptions(options, 100);
      calls.push({ prompt, options });
      const said = { prompt, promptTokenIds: [], timings: {} } as unknown as GenerateResult;
      let text = '';
      let done = false;
      try {
        for (const tokenId of [1, 2, 3, 4]) {
          if (options.signal?.aborted) return { ...said, text, tokenIds: [], finishReason: 'aborted', usage };
          text += WORDS[tokenId];
          const logprob = options.logprobs && {
            logprob: -tokenId / 8,
            top: options.topLogprobs ? [{ tokenId: 5, logprob: -0.5 }] : [],
          };
          yield { text: WORDS[tokenId]!, tokenId, ...(logprob && { logprob }) };
        }
        done = true;
        return { ...said, text, tokenIds: [1, 2, 3, 4], finishReason: 'stop', usage, ...result };
      } finally {
        if (!done) seen.returned++;
      }
    },
    encode: async (text) => Array.from(text, () => 3),
    // The likeliest token is always 1, twice as likely as 4.
    logits: async (ids) =>
      Float32Array.from({ length: 6 * ids.length }, (_, i) => [-9, Math.log(2), -9, -9, 0, -9][i % 6]!),
    embed: async (texts) => ({
      embeddings: [texts].flat().map((text) => Float32Array.of(String(text).length, 0.5)),
      tokens: [texts].flat().map(() => 2),
    }),
    decode: (ids) => Promise.resolve(Array.from(ids, (id) => WORDS[id]).join('')),
  };
  return { model, chat: chatCompletions(model, { name: 'fake' }), calls, seen };
}

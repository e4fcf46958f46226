import { ShishuError } from '../errors.ts';
import type { Tokenizer } from '../formats/tokenizer.ts';
import { type Gpu, lossOr } from '../gpu/device.ts';
import type { Masks } from '../grammar/constraint.ts';
import type { LoadedAdapter } from '../model/adapters.ts';
import type { Plan } from '../model/spec.ts';
import type { CheckedOptions } from './options.ts';
import { constraintOf, reasoningOf } from './reasoning.ts';
import { Reply } from './reply.ts';
import type { Runner } from './runner.ts';
import type { Scheduler } from './scheduler.ts';
import { Sequence } from './sequence.ts';
import type { BatchChunk, GenerateResult, Prompt } from './types.ts';

/** What replies need of the model. */
export interface Speaker {
  gpu: Gpu;
  runner: Runner;
  scheduler: Scheduler;
  tokenizer: Tokenizer;
  eosTokenIds: readonly number[];
  /** @throws ShishuError `disposed`, `device-lost` */
  still(): void;
}

/** What is asked for. */
export interface Asked {
  promptTokenIds: number[];
  prompt: Prompt;
  replies: number;
  options: CheckedOptions;
  /** Of the options' constraint. */
  masks: Masks | undefined;
  /** The plan to run in: it may change between two tokens. */
  plan: () => Plan;
  adapter?: LoadedAdapter | undefined;
}

const perSecond = (tokens: number, ms: number): number => (tokens > 0 && ms > 0 ? (1000 * tokens) / ms : 0);

/**
 * Replies to one prompt, which decode together; the prompt runs once.
 * @throws ShishuError `bad-argument`, `device-lost`, `disposed`
 */
export async function* generateReplies(
  { gpu, runner, scheduler, tokenizer, eosTokenIds, still }: Speaker,
  { promptTokenIds, prompt, replies: n, options, masks, plan, adapter }: Asked,
): AsyncGenerator<BatchChunk, GenerateResult[], undefined> {
  const limit = Math.min(
    options.maxTokens ?? Number.POSITIVE_INFINITY,
    Math.max(1, runner.parts.kv.context - promptTokenIds.length),
  );
  const enders = new Set([...(options.ignoreEos ? [] : eosTokenIds), ...options.stopTokenIds]);
  // A reply to a text goes on with it.
  const continued = typeof prompt === 'string' ? promptTokenIds : [];
  const reasoning = reasoningOf(tokenizer, prompt, promptTokenIds, options);
  const replies = Array.from({ length: n }, (_, index) => {
    const constraint = masks && constraintOf(tokenizer, masks, enders, reasoning);
    return {
      index,
      reply: new Reply(tokenizer, {
        ...{ enders, stop: options.stop, limit, continued, constraint },
        // Under a constraint, what the prompt has closed cannot begin again.
        reasoning: masks && reasoning?.closed ? undefined : reasoning,
      }),
      sequence: new Sequence({
        promptTokenIds,
        options,
        reply: index,
        enders,
        limit,
        constraint,
        plan,
        adapter,
      }),
    };
  });
  const open = () => replies.filter(({ reply }) => !reply.finishReason);
  const chunks: BatchChunk[] = [];
  const close = ({ index, reply, sequence }: (typeof replies)[number]): void => {
    const closing = reply.close();
    if (closing.length === 0) return;
    sequence.put(closing.map(({ tokenId }) => tokenId));
    chunks.push(...closing.map((chunk) => ({ index, ...chunk })));
  };
  let begun = performance.now();
  const leave = (): void => {
    for (const { sequence } of replies) scheduler.leave(sequence);
  };
  try {
    // Whoever aborts a call may never read it to its end.
    options.signal?.addEventListener('abort', leave);
    for (const each of replies) close(each);
    await scheduler.admit(
      replies.map(({ sequence }) => sequence),
      options.signal,
    );
    begun = performance.now();
    while (open().length > 0) {
      // A token of each, whatever changes while they are read.
      for (const each of open()) {
        const { index, reply, sequence } = each;
        await scheduler.next(sequence, (token) => {
          const chunk = reply.take(token);
          if (chunk) chunks.push({ index, ...chunk });
          close(each);
        });
        if (reply.finishReason) scheduler.leave(sequence);
      }
      for (let chunk = chunks.shift(); chunk; chunk = chunks.shift()) {
        yield chunk;
        still();
      }
    }
  } catch (error) {
    // A read-back of freed buffers fails in its own words.
    if (!(error instanceof ShishuError)) still();
    if (!(error instanceof ShishuError && error.code === 'aborted')) throw await lossOr(gpu, error);
    for (const { reply } of open()) reply.finishReason = 'aborted';
  } finally {
    options.signal?.removeEventListener('abort', leave);
    leave();
  }
  yield* chunks;
  for (const { index, reply } of replies) {
    const rest = reply.flush();
    if (rest) yield { index, ...rest };
  }
  const ended = performance.now();
  const cachedTokens = replies[0]!.sequence.cachedTokens ?? 0;
  return replies.map(({ reply }) => {
    const { text, reasoning: reasoned, tokenIds, finishReason, firstAt = begun } = reply;
    const prefillMs = firstAt - begun;
    const decodeMs = ended - firstAt;
    return {
      text,
      ...(reasoned !== undefined && { reasoning: reasoned }),
      promptTokenIds,
      tokenIds,
      finishReason: finishReason ?? 'length',
      usage: {
        promptTokens: promptTokenIds.length,
        completionTokens: tokenIds.length,
        ...(reasoned !== undefined && { reasoningTokens: reply.reasoningTokens }),
        totalTokens: promptTokenIds.length + tokenIds.length,
        cachedTokens,
      },
      timings: {
        firstTokenMs: prefillMs,
        prefillMs,
        decodeMs,
        prefillTokensPerSecond: perSecond(promptTokenIds.length - cachedTokens, prefillMs),
        decodeTokensPerSecond: perSecond(tokenIds.length - 1, decodeMs),
      },
    };
  });
}

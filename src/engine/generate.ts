import { ShishuError, throwIfAborted } from '../errors.ts';
import type { Tokenizer } from '../formats/tokenizer.ts';
import { type Gpu, lossOr, throwIfLost } from '../gpu/device.ts';
import type { Masks } from '../grammar/constraint.ts';
import type { Plan } from '../model/spec.ts';
import type { ChoiceKind, Chosen } from './choosing.ts';
import type { CheckedOptions } from './options.ts';
import type { PrefixCache } from './prefix-cache.ts';
import { Reply } from './reply.ts';
import type { Runner } from './runner.ts';
import type { BatchChunk, GenerateResult } from './types.ts';

/** What replies need of the model that they hold the turn of. */
export interface Turn {
  gpu: Gpu;
  runner: Runner;
  tokenizer: Tokenizer;
  eosTokenIds: readonly number[];
  /** The plan that runs now: it may change between two tokens. */
  plan(): Plan;
  /** What is cached of the first sequence, also between replies: a reset puts another in its place. */
  prefix(): PrefixCache;
  /** Makes what a plan lacks to run. */
  ready(plan: Plan): Promise<void>;
  /** @throws ShishuError `disposed` */
  live(): void;
}

/** What is asked for. */
export interface Asked {
  promptTokenIds: number[];
  /** The replies go on with the prompt's text. */
  continues: boolean;
  replies: number;
  options: CheckedOptions;
  /** Of the options' constraint. */
  masks: Masks | undefined;
}

function kindOf(options: CheckedOptions, masked: boolean): ChoiceKind {
  return {
    greedy: options.temperature === 0,
    adjusted:
      masked ||
      options.repetitionPenalty !== 1 ||
      options.frequencyPenalty !== 0 ||
      options.presencePenalty !== 0 ||
      options.logitBias.size > 0,
    bias: options.logitBias.size > 0,
    mask: masked,
    top: options.top,
  };
}

/** Lets the replies under a constraint choose only what it allows next. */
function mask(runner: Runner, replies: readonly Reply[]): void {
  for (const { sequence, constraint } of replies)
    if (constraint) runner.choosing.setMask(sequence, constraint.mask());
}

/** Sets a sequence up to choose the next token of a reply: sampler, penalties, bias and mask. */
async function prepare(
  runner: Runner,
  kind: ChoiceKind,
  options: CheckedOptions,
  prompt: readonly number[],
  reply: Reply,
): Promise<void> {
  const { sequence, tokenIds } = reply;
  const { vocabSize } = runner.parts.spec;
  const counts = new Uint32Array(kind.adjusted ? vocabSize : 0);
  if (kind.adjusted) {
    for (const id of prompt) counts[id] = 1;
    for (const id of tokenIds) counts[id]! += 2;
  }
  const bias = kind.bias ? new Float32Array(vocabSize) : undefined;
  for (const [id, add] of options.logitBias) bias![id] = add;
  const sampler = { ...options, seed: options.seed + sequence };
  await runner.choosing.setSampler(sequence, kind, sampler, { counts, bias });
  mask(runner, [reply]);
}

const perSecond = (tokens: number, ms: number): number => (tokens > 0 && ms > 0 ? (1000 * tokens) / ms : 0);

/**
 * Runs replies to one prompt, which decode together; the prompt runs once. A change of the plan in between makes what is known
 * so far the prompt.
 * @throws ShishuError `device-lost`, `disposed`
 */
export async function* generateReplies(
  turn: Turn,
  { promptTokenIds, continues, replies: n, options, masks }: Asked,
): AsyncGenerator<BatchChunk, GenerateResult[], undefined> {
  const { gpu, runner, tokenizer } = turn;
  const { signal } = options;
  const still = (): void => {
    turn.live();
    throwIfLost(gpu);
  };
  const begun = performance.now();
  const { context } = runner.parts.kv;
  const limit = Math.min(
    options.maxTokens ?? Number.POSITIVE_INFINITY,
    Math.max(1, context - promptTokenIds.length),
  );
  const kind = kindOf(options, masks !== undefined);
  const enders = new Set([...(options.ignoreEos ? [] : turn.eosTokenIds), ...options.stopTokenIds]);
  const continued = continues ? promptTokenIds : [];
  const replies = Array.from({ length: n }, (_, sequence) => {
    const constraint = masks?.reply(enders);
    return new Reply(tokenizer, { sequence, enders, stop: options.stop, limit, continued, constraint });
  });
  const open = (): Reply[] => replies.filter((reply) => !reply.finishReason);

  // What is cached of each sequence.
  const cached: PrefixCache[] = [];
  let cachedTokens: number | undefined;
  try {
    // Once, and again behind each change of the plan.
    while (open().length > 0) {
      throwIfAborted(signal);
      const plan = turn.plan();
      await turn.ready(plan);
      // A reset in between leaves this one to the reply.
      cached[0] = turn.prefix();
      const choices: Chosen[] = [];
      for (const reply of open()) {
        const { sequence, tokenIds } = reply;
        if (!cached[sequence]) {
          // The prompt's K and V are the first sequence's.
          runner.copyKv(plan, 0, [sequence]);
          cached[sequence] = cached[0].copy();
        }
        const prefix = cached[sequence];
        await prepare(runner, kind, options, promptTokenIds, reply);
        const known = [...promptTokenIds, ...tokenIds];
        const kept = prefix.reusable(known, plan);
        cachedTokens ??= kept;
        // Until the prefill is done, only what it keeps is sure.
        prefix.truncate(kept);
        const rest = known.slice(kept);
        choices[sequence] = await runner.prefill(plan, sequence, rest, kept, kind, signal);
        prefix.append(rest, plan);
      }
      for (const reply of open()) {
        const chunk = reply.take(choices[reply.sequence]!);
        if (chunk) yield { index: reply.sequence, ...chunk };
        still();
      }
      const [some] = open();
      if (!some) break;
      mask(runner, open());
      // Open replies have equally many tokens.
      const { length } = some.tokenIds;
      const steps = runner.decode(plan, kind, promptTokenIds.length + length - 1, {
        steps: limit - length,
        lockstep: kind.mask,
        sequences: n,
      });
      for await (const chosen of steps) {
        if (signal?.aborted) for (const reply of open()) reply.finishReason = 'aborted';
        // Chosen in the modes of before: the step runs again in the new ones.
        if (open().length === 0 || plan !== turn.plan()) break;
        for (const reply of open()) {
          // The step that chose this token has put the one before it into the cache.
          cached[reply.sequence]!.append(reply.tokenIds.slice(-1), plan);
          const chunk = reply.take(chosen);
          if (chunk) yield { index: reply.sequence, ...chunk };
          still();
        }
        if (open().length === 0) break;
        mask(runner, open());
      }
    }
  } catch (error) {
    // A read-back of freed buffers fails in its own words.
    turn.live();
    if (!(error instanceof ShishuError && error.code === 'aborted')) throw await lossOr(gpu, error);
    for (const reply of open()) reply.finishReason = 'aborted';
  }
  for (const reply of replies) {
    const rest = reply.flush();
    if (rest) yield { index: reply.sequence, ...rest };
  }
  const ended = performance.now();
  return replies.map(({ text, tokenIds, finishReason, firstAt = begun }) => {
    const prefillMs = firstAt - begun;
    const decodeMs = ended - firstAt;
    return {
      text,
      promptTokenIds,
      tokenIds,
      finishReason: finishReason ?? 'length',
      usage: {
        promptTokens: promptTokenIds.length,
        completionTokens: tokenIds.length,
        totalTokens: promptTokenIds.length + tokenIds.length,
        cachedTokens: cachedTokens ?? 0,
      },
      timings: {
        firstTokenMs: prefillMs,
        prefillMs,
        decodeMs,
        prefillTokensPerSecond: perSecond(promptTokenIds.length - (cachedTokens ?? 0), prefillMs),
        decodeTokensPerSecond: perSecond(tokenIds.length - 1, decodeMs),
      },
    };
  });
}

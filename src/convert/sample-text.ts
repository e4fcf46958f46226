import type { Runner } from '../engine/runner.ts';
import { GREEDY, type SamplingKind } from '../engine/sampler.ts';
import { ShishuError, throwIfAborted } from '../errors.ts';
import type { Plan } from '../model/spec.ts';

const KIND: SamplingKind = { ...GREEDY, greedy: false };

/** Replies in a row that may be empty before the model counts as one that says nothing by itself. */
const MOST_EMPTY = 64;

/** Token ids that a model draws at temperature 1 behind one token, `length` of them unless the reader stops earlier. */
export type Say = (
  begin: number,
  options: { length: number; seed: number; signal?: AbortSignal | undefined },
) => AsyncGenerator<number, unknown>;

/** What a model on the GPU says in a plan; replies are cut at the end of its context. */
export const sayingOf = (runner: Runner, plan: Plan): Say =>
  async function* (begin, { length, seed, signal }) {
    const sampler = {
      temperature: 1,
      topP: 1,
      minP: 0,
      topK: 0,
      repetitionPenalty: 1,
      frequencyPenalty: 0,
      presencePenalty: 0,
      seed,
    };
    runner.sampler.setSampler(0, sampler);
    yield (await runner.prefill(plan, 0, [begin], 0, KIND, signal)).tokens[0]!;
    const steps = Math.min(length, runner.parts.kv.context) - 1;
    for await (const { tokens } of runner.decode(plan, KIND, 1, { steps })) yield tokens[0]!;
  };

interface ReplyOptions {
  /** Most tokens of a reply. */
  length: number;
  /** Token before each reply, which is not part of it. */
  begin: number;
  /** Tokens that end a reply, which are left out. */
  enders: readonly number[];
  /** Of the first reply; the next ones have the numbers after it. */
  seed: number;
  signal?: AbortSignal | undefined;
}

/** By default, the token before the replies of a model and those that end them. */
export function edgesOf(spec: {
  bosTokenId: number | undefined;
  eosTokenIds: readonly number[];
}): Pick<ReplyOptions, 'begin' | 'enders'> {
  const { bosTokenId, eosTokenIds } = spec;
  return {
    begin: bosTokenId ?? eosTokenIds[0] ?? 0,
    enders: bosTokenId === undefined ? eosTokenIds : [...eosTokenIds, bosTokenId],
  };
}

/**
 * What a model says by itself, reply after reply without end; none is empty.
 * @throws ShishuError `unsupported` when the model ends its replies before they begin; `aborted`
 */
export async function* sampleReplies(
  say: Say,
  { length, begin, enders, seed, signal }: ReplyOptions,
): AsyncGenerator<number[], never> {
  for (let reply = 0, empty = 0; ; reply++) {
    throwIfAborted(signal);
    const ids: number[] = [];
    for await (const id of say(begin, { length, seed: seed + reply, signal })) {
      if (enders.includes(id)) break;
      ids.push(id);
    }
    throwIfAborted(signal);
    empty = ids.length === 0 ? empty + 1 : 0;
    if (empty >= MOST_EMPTY)
      throw new ShishuError(
        'unsupported',
        `The model says nothing by itself: ${empty} replies in a row were empty.`,
        { details: { replies: empty }, mend: 'Give a text.' },
      );
    if (ids.length > 0) yield ids;
  }
}

/** As many token ids of what a model says, one reply behind the other. @throws ShishuError as `sampleReplies` */
export async function sampleText(
  say: Say,
  {
    tokens,
    onProgress,
    ...options
  }: ReplyOptions & {
    tokens: number;
    onProgress?: ((done: number, total: number) => void) | undefined;
  },
): Promise<number[]> {
  const ids: number[] = [];
  for await (const reply of sampleReplies(say, options)) {
    ids.push(...reply);
    onProgress?.(Math.min(ids.length, tokens), tokens);
    if (ids.length >= tokens) break;
  }
  return ids.slice(0, tokens);
}

import type { Runner } from '../engine/runner.ts';
import { GREEDY, type SamplingKind } from '../engine/sampler.ts';
import { ShishuError, throwIfAborted } from '../errors.ts';
import type { ModelSpec, Plan } from '../model/spec.ts';

const KIND: SamplingKind = { ...GREEDY, greedy: false };

/** Empty replies in a row after which the model counts as one that generates nothing by itself. */
const MOST_EMPTY = 64;

/** Samples token ids at temperature 1 after one token, `length` of them unless the reader stops earlier. */
export type SampleTokens = (
  bos: number,
  options: { length: number; seed: number; signal?: AbortSignal | undefined },
) => AsyncGenerator<number, unknown>;

/** Samples of a model on the GPU, at most as long as its context. */
export const samplerOf = (runner: Runner, plan: Plan): SampleTokens =>
  async function* (bos, { length, seed, signal }) {
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
    yield (await runner.prefill(plan, 0, [bos], 0, KIND, signal)).tokens[0]!;
    const steps = Math.min(length, runner.parts.kv.context) - 1;
    for await (const { tokens } of runner.decode(plan, KIND, 1, { steps })) yield tokens[0]!;
  };

interface ReplyOptions {
  /** Most tokens of a reply. */
  length: number;
  /** Token before each reply, left out of it. */
  bos: number;
  /** Tokens that end a reply, left out of it. */
  stopTokenIds: readonly number[];
  /** Of the first reply; the next ones have the numbers after it. */
  seed: number;
  signal?: AbortSignal | undefined;
}

/** The token before the replies of a model and those that end them. */
export const boundaryTokens = ({
  bosTokenId,
  eosTokenIds,
}: Pick<ModelSpec, 'bosTokenId' | 'eosTokenIds'>): Pick<ReplyOptions, 'bos' | 'stopTokenIds'> => ({
  bos: bosTokenId ?? eosTokenIds[0] ?? 0,
  stopTokenIds: bosTokenId === undefined ? eosTokenIds : [...eosTokenIds, bosTokenId],
});

/**
 * What a model generates by itself, reply after reply without end; none is empty.
 * @throws ShishuError `unsupported` when the model ends its replies before they begin; `aborted`
 */
export async function* sampleReplies(
  sample: SampleTokens,
  { length, bos, stopTokenIds, seed, signal }: ReplyOptions,
): AsyncGenerator<number[], never> {
  for (let reply = 0, empty = 0; ; reply++) {
    throwIfAborted(signal);
    const ids: number[] = [];
    for await (const id of sample(bos, { length, seed: seed + reply, signal })) {
      if (stopTokenIds.includes(id)) break;
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

/** Token ids of the replies of a model one after the other, `tokens` of them. @throws ShishuError as `sampleReplies` */
export async function sampleText(
  sample: SampleTokens,
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
  for await (const reply of sampleReplies(sample, options)) {
    ids.push(...reply);
    onProgress?.(Math.min(ids.length, tokens), tokens);
    if (ids.length >= tokens) break;
  }
  return ids.slice(0, tokens);
}

import type { ChoiceKind, Runner } from '../engine/runner.ts';
import { ShishuError, throwIfAborted } from '../errors.ts';
import type { Plan } from '../model/plan.ts';

const KIND: ChoiceKind = { greedy: false, adjusted: false, bias: false, mask: false, top: undefined };

/** Replies in a row that may be empty before the model counts as one that says nothing by itself. */
const MOST_EMPTY = 64;

/**
 * Token ids that the model itself says at temperature 1, as calibration text where none is given: replies from its
 * begin-of-text token, one after the other, each ended by a token of `enders` (which is left out) or by `length`.
 * @throws ShishuError `unsupported` when the model ends its replies before they begin; `aborted`
 */
export async function sampleText(
  runner: Runner,
  plan: Plan,
  options: {
    tokens: number;
    length: number;
    begin: number;
    enders: readonly number[];
    seed: number;
    signal?: AbortSignal | undefined;
    onProgress?: ((done: number, total: number) => void) | undefined;
  },
): Promise<number[]> {
  const { tokens, begin, enders, signal, onProgress } = options;
  const length = Math.min(options.length, runner.parts.kv.context);
  const sampler = {
    temperature: 1,
    topP: 1,
    minP: 0,
    topK: 0,
    repetitionPenalty: 1,
    frequencyPenalty: 0,
    presencePenalty: 0,
  };
  const ids: number[] = [];
  let empty = 0;
  for (let reply = 0; ids.length < tokens; reply++) {
    throwIfAborted(signal);
    await runner.setSampler(
      0,
      KIND,
      { ...sampler, seed: options.seed + reply },
      { counts: new Uint32Array(0) },
    );
    const first = (await runner.prefill(plan, 0, [begin], 0, KIND, signal)).tokens[0]!;
    if (enders.includes(first)) {
      if (++empty < MOST_EMPTY) continue;
      throw new ShishuError(
        'unsupported',
        `The model says nothing by itself: ${empty} replies in a row were empty.`,
        {
          details: { replies: empty },
          mend: 'Give a text to calibrate on.',
        },
      );
    }
    empty = 0;
    ids.push(first);
    for await (const { tokens: next } of runner.decode(plan, KIND, 1, {
      steps: length - 1,
      lockstep: false,
    })) {
      if (enders.includes(next[0]!)) break;
      ids.push(next[0]!);
    }
    onProgress?.(Math.min(ids.length, tokens), tokens);
  }
  return ids.slice(0, tokens);
}

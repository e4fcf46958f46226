// Log-probabilities as OpenAI's older completions have them.
import type { Model } from '../api/model.ts';
import type { GenerateChunk, GenerateOptions, TokenChance } from '../engine/types.ts';

type Tokens = Pick<Model, 'decode' | 'logits'>;

export interface CompletionLogprobs {
  tokens: string[];
  /** Nats; null for the first token of a prompt. */
  token_logprobs: (number | null)[];
  /** By the token's text. */
  top_logprobs: (Record<string, number> | null)[];
  /** Where in the text each token begins, in characters. */
  text_offset: number[];
}

export const noLogprobs = (): CompletionLogprobs => ({
  tokens: [],
  token_logprobs: [],
  top_logprobs: [],
  text_offset: [],
});

/** Log-probabilities of a prompt's tokens, and the likeliest ones at their places. */
export async function logprobsOf(model: Tokens, ids: readonly number[], top: number, call: GenerateOptions) {
  const { adapter, signal } = call;
  const logits = await model.logits(ids, {
    ...(adapter !== undefined && { adapter }),
    ...(signal && { signal }),
  });
  const vocab = logits.length / ids.length;
  const texts = new Map<number, string>();
  const textOf = async (id: number): Promise<string> => {
    const text = texts.get(id) ?? (await model.decode([id]));
    texts.set(id, text);
    return text;
  };
  const found = noLogprobs();
  let offset = 0;
  for (const [i, id] of ids.entries()) {
    const text = await textOf(id);
    found.tokens.push(text);
    found.text_offset.push(offset);
    offset += text.length;
    if (i === 0) {
      found.token_logprobs.push(null);
      found.top_logprobs.push(null);
      continue;
    }
    const row = logits.subarray((i - 1) * vocab, i * vocab);
    const largest = row.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
    const log = largest + Math.log(row.reduce((sum, value) => sum + Math.exp(value - largest), 0));
    found.token_logprobs.push(row[id]! - log);
    const likeliest = largestOf(row, top);
    const entries = await Promise.all(
      [...likeliest, id].map(
        async (each): Promise<[string, number]> => [await textOf(each), row[each]! - log],
      ),
    );
    // Tokens with one text: the likelier one counts.
    found.top_logprobs.push(Object.fromEntries(entries.toReversed()));
  }
  return found;
}

/** Places of the largest values, the largest first. */
function largestOf(row: Float32Array, count: number): number[] {
  const best: number[] = [];
  for (let i = 0; i < row.length; i++) {
    if (best.length === count && (count === 0 || row[i]! <= row[best.at(-1)!]!)) continue;
    let at = best.length;
    while (at > 0 && row[best[at - 1]!]! < row[i]!) at--;
    best.splice(at, 0, i);
    if (best.length > count) best.pop();
  }
  return best;
}

export async function addToken(
  to: CompletionLogprobs,
  model: Tokens,
  { tokenId, logprob, text }: GenerateChunk,
  offset: number,
): Promise<void> {
  if (!logprob) return;
  const textOf = async (id: number, { bytes }: TokenChance): Promise<string> =>
    bytes ? new TextDecoder().decode(Uint8Array.from(bytes)) : model.decode([id]);
  const top = await Promise.all(
    logprob.top.map(
      async (each): Promise<[string, number]> => [await textOf(each.tokenId, each), each.logprob],
    ),
  );
  to.tokens.push(await textOf(tokenId, logprob));
  to.token_logprobs.push(logprob.logprob);
  to.top_logprobs.push(top.length > 0 ? Object.fromEntries(top.toReversed()) : null);
  to.text_offset.push(offset - text.length);
}

// What a parent answers to simple questions, and how far another model would have said the same.
import { loadModel } from '../engine/engine.ts';
import type { EngineModel } from '../engine/model-interface.ts';
import type { Scores } from '../engine/scoring.ts';
import { type ErrorCode, ShishuError, throwIfAborted } from '../errors.ts';
import type { Tokenizer } from '../formats/tokenizer.ts';
import type { Log } from './healing-run.ts';
import type { OnGpu } from './on-gpu.ts';
import { QUESTIONS } from './questions.ts';
import { timeLeft } from './time-left.ts';

/** The likeliest answer to a question, token by token. */
export interface Answer {
  /** Tokens before the answer. */
  prompt: number[];
  /** With the token that ends it, unless it is as long as may be. */
  ids: number[];
}

/** Most tokens of an answer. */
const LONGEST = 24;
/** Answers at once. */
const AT_ONCE = 16;
/** Room for a question, with what a chat template writes around it. */
const CONTEXT = 256;
const NO_ROOM: readonly ErrorCode[] = ['does-not-fit', 'out-of-memory'];

interface AnswerOptions {
  /** How many of the questions are asked (default all). */
  questions?: number | undefined;
  log?: Log | undefined;
  signal?: AbortSignal | undefined;
}

/** A question as the model expects it: a chat, where it has a template. */
const promptOf = (tokenizer: Tokenizer, question: string): number[] =>
  tokenizer.hasChatTemplate
    ? tokenizer.encodeChat([{ role: 'user', content: question }])
    : tokenizer.encode(`Question: ${question}\nAnswer:`);

/** A model's likeliest answers to questions, as many at once as it was loaded for; none to those that have no room. */
export async function answersOf(
  model: Pick<EngineModel, 'generate' | 'info'>,
  tokenizer: Tokenizer,
  questions: readonly string[],
  {
    signal,
    onProgress,
  }: { signal?: AbortSignal | undefined; onProgress?: (done: number, total: number) => void } = {},
): Promise<Answer[]> {
  const { batch, contextLength, spec } = model.info;
  const ends = new Set([...spec.eosTokenIds, ...tokenizer.enders]);
  let done = 0;
  const answer = async (question: string): Promise<Answer> => {
    const prompt = promptOf(tokenizer, question);
    const ids: number[] = [];
    const maxTokens = Math.min(LONGEST, contextLength - prompt.length);
    const options = { temperature: 0, repetitionPenalty: 1, maxTokens, ignoreEos: true };
    if (maxTokens > 0)
      for await (const { tokenId } of model.generate(Uint32Array.from(prompt), {
        ...options,
        ...(signal && { signal }),
      })) {
        ids.push(tokenId);
        if (ends.has(tokenId)) break;
      }
    throwIfAborted(signal);
    onProgress?.(++done, questions.length);
    return { prompt, ids };
  };
  const answers: Answer[] = [];
  for (let at = 0; at < questions.length; at += batch)
    answers.push(...(await Promise.all(questions.slice(at, at + batch).map(answer))));
  return answers.filter(({ ids }) => ids.length > 0);
}

/**
 * The answers of a model that is opened for analysis, whose weights are on the GPU a second time while it gives them: none where they
 * do not fit.
 */
export async function parentAnswers(
  { source, dtype, tokenizer, runner }: Pick<OnGpu, 'source' | 'dtype' | 'tokenizer' | 'runner'>,
  { questions = QUESTIONS.length, log = () => {}, signal }: AnswerOptions = {},
): Promise<Answer[]> {
  const asked = QUESTIONS.slice(0, questions);
  if (asked.length === 0) return [];
  const { gpu, spec } = runner.parts;
  const options = {
    dtype: dtype === 'F16' ? ('f16' as const) : ('f32' as const),
    contextLength: Math.min(CONTEXT, spec.maxPositions),
    batch: AT_ONCE,
    profile: gpu.profile,
    selfTest: false,
    tune: false,
    warn: () => {},
    ...(signal && { signal }),
  };
  const model = await loadModel(source, options, { device: gpu.device }).catch((error) => {
    if (!(error instanceof ShishuError && NO_ROOM.includes(error.code))) throw error;
    log("The parent's answers are left out: its weights do not fit a second time.");
  });
  if (!model) return [];
  try {
    const onProgress = timeLeft(log, `the parent's answers to ${asked.length} questions`);
    onProgress(0, asked.length);
    return await answersOf(model, tokenizer, asked, { signal, onProgress });
  } finally {
    await model.dispose();
  }
}

/** How near a model is to given answers. */
export interface Agreement {
  questions: number;
  tokens: number;
  /** Mean nats of a token of the answers. */
  nats: number;
  /** Share of tokens that are the likeliest. */
  same: number;
}

/** @param scores of each prompt with its answer, by row: row i tells of token i + 1 */
export function agreementOf(answers: readonly Answer[], scores: readonly Scores[]): Agreement {
  let [nats, same, tokens] = [0, 0, 0];
  for (const [i, { prompt, ids }] of answers.entries())
    for (const [at, id] of ids.entries()) {
      const row = prompt.length + at - 1;
      nats -= scores[i]!.logprobs[row]!;
      if (scores[i]!.top1[row] === id) same++;
      tokens++;
    }
  return { questions: answers.length, tokens, nats: nats / tokens, same: same / tokens };
}

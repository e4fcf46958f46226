import type { Score } from '../engine/types.ts';
import { markdownTable } from '../markdown.ts';
import type { Bpe } from './bpe.ts';
import { type Chat, type ChatCorpus, sampleOf } from './chat-corpus.ts';
import { ASSISTANT, END } from './chat-format.ts';

/** Gives each token's log-probability and the likeliest token after each, as a loaded model does. */
export interface Scorer {
  score(ids: number[]): Promise<Pick<Score, 'logprobs' | 'top1'>>;
}

export interface Perplexity {
  /** Of chats. */
  kind: string;
  /** Held-out chats, and their tokens that were predicted. */
  chats: number;
  tokens: number;
  /** exp of the mean negative log-likelihood of all tokens. */
  all: number;
  /** The same of the assistant's tokens alone. */
  spoken: number;
}

/** Answers to one kind of question. */
export interface Accuracy {
  /** The kind of question. */
  asks: string;
  questions: number;
  /** Of these, answered exactly right. */
  right: number;
}

export interface Evaluation {
  seed: number;
  perplexity: Perplexity[];
  /** Over every kind, each chat once. */
  overall: Omit<Perplexity, 'kind'>;
  accuracy: Accuracy[];
  /** All questions about stories together. */
  stories: Omit<Accuracy, 'asks'>;
  /** Answers that were wrong, a few of each kind of question. */
  mistakes: { asks: string; question: string; expected: string; got: string }[];
}

export interface EvaluateOptions {
  seed?: number | undefined;
  /** Held-out chats of each kind (default 60). */
  chats?: number | undefined;
  /** Called after each chat. */
  onProgress?: (done: number, total: number) => void;
}

/** Sums over chats; nats are negative log-likelihoods. */
interface Tally {
  chats: number;
  tokens: number;
  nats: number;
  /** Of the assistant's tokens alone. */
  spokenTokens: number;
  spokenNats: number;
}

const emptyTally = (): Tally => ({ chats: 0, tokens: 0, nats: 0, spokenTokens: 0, spokenNats: 0 });

const perplexityOf = ({ chats, tokens, nats, spokenTokens, spokenNats }: Tally): Evaluation['overall'] => ({
  chats,
  tokens,
  all: Math.exp(nats / tokens),
  spoken: Math.exp(spokenNats / spokenTokens),
});

const MISTAKES_SHOWN = 3;

/** The tokens of each of the assistant's turns in a chat's: from its first to the token that ends it. */
function replySpans(ids: readonly number[], bpe: Bpe): { from: number; to: number }[] {
  const [open, close] = [bpe.id(ASSISTANT), bpe.id(END)];
  return ids.flatMap((id, i) => (id === open ? [{ from: i + 1, to: ids.indexOf(close, i) }] : []));
}

/**
 * Scores held-out chats: perplexity by kind, and how often the greedy answer is exactly right. An answer is
 * right when each of its tokens, the closing one included, is the likeliest after those before it, which is
 * when greedy decoding would say it; so one pass over a chat answers all its questions.
 */
export async function evaluate(
  model: Scorer,
  bpe: Bpe,
  corpus: ChatCorpus,
  { seed = 1, chats = 60, onProgress }: EvaluateOptions = {},
): Promise<Evaluation> {
  const { kinds, storyQuestions } = corpus;
  const tallies = new Map<string, Tally>();
  const answers = new Map<string, Accuracy>();
  const mistakes: Evaluation['mistakes'] = [];
  const total = chats * kinds.length;
  for (const [k, kind] of kinds.entries()) {
    const tally = emptyTally();
    tallies.set(kind, tally);
    for (let i = 0; i < chats; i++) {
      const chat = corpus.chatAt(seed, i, 'held-out', kind);
      const { ids, weights } = sampleOf(bpe, chat);
      const { logprobs, top1 } = await model.score(ids);
      tally.chats++;
      for (let t = 1; t < ids.length; t++) {
        tally.tokens++;
        tally.nats -= logprobs[t]!;
        if (weights[t] !== 1) continue;
        tally.spokenTokens++;
        tally.spokenNats -= logprobs[t]!;
      }
      checkAnswers(chat, ids, top1);
      onProgress?.(k * chats + i + 1, total);
    }
  }

  function checkAnswers(chat: Chat, ids: number[], top1: Uint32Array): void {
    const spans = replySpans(ids, bpe);
    const spoken = chat.turns.flatMap((turn, at) => (turn.role === 'assistant' ? [{ turn, at }] : []));
    spoken.forEach(({ turn: { asks, content }, at }, i) => {
      if (!asks) return;
      const { from, to } = spans[i]!;
      const row = answers.get(asks) ?? { asks, questions: 0, right: 0 };
      answers.set(asks, row);
      row.questions++;
      const likeliest = Array.from(top1.subarray(from - 1, to));
      if (likeliest.every((id, t) => id === ids[from + t])) row.right++;
      else if (mistakes.filter((mistake) => mistake.asks === asks).length < MISTAKES_SHOWN)
        mistakes.push({
          asks,
          question: chat.turns[at - 1]!.content,
          expected: content,
          got: bpe.decode(likeliest.slice(0, -1)),
        });
    });
  }

  const sum = emptyTally();
  for (const tally of tallies.values())
    for (const field of Object.keys(sum) as (keyof Tally)[]) sum[field] += tally[field];
  const order = [...storyQuestions, ...kinds];
  const accuracy = [...answers.values()].sort((a, b) => order.indexOf(a.asks) - order.indexOf(b.asks));
  const stories = accuracy.filter(({ asks }) => storyQuestions.includes(asks));
  return {
    seed,
    perplexity: Array.from(tallies, ([kind, tally]) => ({ kind, ...perplexityOf(tally) })),
    overall: perplexityOf(sum),
    accuracy,
    stories: {
      questions: stories.reduce((n, row) => n + row.questions, 0),
      right: stories.reduce((n, row) => n + row.right, 0),
    },
    mistakes,
  };
}

const percent = (right: number, questions: number): string => `${((100 * right) / questions).toFixed(1)} %`;

/** An evaluation, or several side by side, as a table in Markdown. */
export function evaluationTable(named: readonly (readonly [name: string, evaluation: Evaluation])[]): string {
  const names = named.map(([name]) => name);
  const of = (cell: (evaluation: Evaluation) => string): string[] =>
    named.map(([, evaluation]) => cell(evaluation));
  const first = named[0]![1];
  const pair = ({ all, spoken }: { all: number; spoken: number }): string =>
    `${all.toFixed(3)} / ${spoken.toFixed(3)}`;
  return [
    ...markdownTable(
      ['perplexity: all tokens / assistant only', ...names],
      [
        ...first.perplexity.map(({ kind }, i) => [kind, ...of(({ perplexity }) => pair(perplexity[i]!))]),
        ['every kind', ...of(({ overall }) => pair(overall))],
      ],
    ),
    '',
    ...markdownTable(
      ['exact answers', ...names],
      [
        ...first.accuracy.map(({ asks, questions }, i) => [
          `${asks} (${questions})`,
          ...of(({ accuracy }) => percent(accuracy[i]!.right, questions)),
        ]),
        [
          `stories, all questions (${first.stories.questions})`,
          ...of(({ stories }) => percent(stories.right, stories.questions)),
        ],
      ],
    ),
  ].join('\n');
}

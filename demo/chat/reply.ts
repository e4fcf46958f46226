import { ToolCallParser } from '../../src/api/tool-calls.ts';
import type { GenerateOptions, GenerateResult, Message } from '../../src/engine/types.ts';
import type { Model } from '../../src/index.ts';
import type { Attention } from './attention.ts';
import { type ChatMessage, contentOf, type Exchange } from './conversation.ts';
import type { Log } from './log.ts';
import { whenVisible } from './phone.ts';
import type { Status } from './status.ts';
import { runTool, TOOLS } from './tools.ts';

/** Rounds of tools in one reply; a model that still calls then says no more. */
const MOST_ROUNDS = 5;

/** A conversation as messages, the last reply as far as it has come. */
export function messagesOf(exchanges: readonly Exchange[], system: string): Message[] {
  const messages: Message[] = system ? [{ role: 'system', content: system }] : [];
  for (const [i, { question, reply }] of exchanges.entries()) {
    const isLast = i === exchanges.length - 1;
    // A reply that was stopped before its first word is no turn.
    if (!isLast && (question.mode !== 'chat' || !(reply?.text || reply?.calls?.length))) continue;
    messages.push({ role: 'user', content: contentOf(question) });
    for (const call of reply?.calls ?? []) messages.push(...callMessages(call));
    if (isLast || !reply?.text) continue;
    // Templates say how much of earlier reasoning the model sees.
    const reasoning = reply.reasoning && { reasoning_content: reply.reasoning };
    messages.push({ role: 'assistant', content: reply.text, ...reasoning });
  }
  return messages;
}

function callMessages({
  said,
  name,
  arguments: given,
  result,
}: NonNullable<ChatMessage['calls']>[number]): Message[] {
  const call = { type: 'function', function: { name, arguments: JSON.parse(given || '{}') } };
  return [
    { role: 'assistant', content: said, tool_calls: [call] },
    { role: 'tool', name, content: result },
  ];
}

/** Share of the context that is kept free for the reply. */
const REPLY_SHARE = 0.2;

type TemplateOptions = Pick<GenerateOptions, 'templateVariables' | 'tools'>;

/** A conversation without its oldest turns, as many as must go for the rest and a reply to fit into the context. */
export async function fitted(
  model: Pick<Model, 'info' | 'encode' | 'applyChatTemplate'>,
  messages: readonly Message[],
  options: TemplateOptions = {},
): Promise<{ messages: Message[]; left: number }> {
  const room = Math.floor(model.info.contextLength * (1 - REPLY_SHARE));
  const system = messages.filter(({ role }) => role === 'system');
  const turns = messages.filter(({ role }) => role !== 'system');
  const questions = turns.flatMap(({ role }, i) => (role === 'user' ? [i] : []));
  for (let left = 0; ; left++) {
    const kept = [...system, ...turns.slice(questions[left] ?? 0)];
    const { length: tokens } = await model.encode(await model.applyChatTemplate(kept, options));
    // The last question is not dropped: when it alone is too long, the model says so.
    if (tokens <= room || left >= questions.length - 1) return { messages: kept, left };
  }
}

/** The tokens of a conversation whose last reply is to go on. */
export async function continuedIds(
  model: Pick<Model, 'encode' | 'applyChatTemplate'>,
  exchanges: readonly Exchange[],
  system: string,
  options: TemplateOptions,
): Promise<number[]> {
  const begun = await model.applyChatTemplate(messagesOf(exchanges, system), options);
  const ids = await model.encode(begun + (exchanges.at(-1)?.reply?.text ?? ''));
  // The token that begins a text, of the template and of the tokenizer.
  return ids[0] === ids[1] ? ids.slice(1) : ids;
}

/** What a reply is written into. */
export interface ReplyPlaces {
  reply: ChatMessage;
  log: Pick<Log, 'grow'>;
  status: Status;
  attention: Attention;
}

/** Streams a reply with its calls of tools into its message, its place in the log and the figures. */
export async function streamReply(
  model: Model,
  prompt: string | Message[] | number[],
  options: GenerateOptions,
  places: ReplyPlaces,
): Promise<GenerateResult> {
  const { reply } = places;
  let given = prompt;
  for (let round = 1; ; round++) {
    const { result, calls, said } = await streamOnce(model, given, options, places);
    if (calls.length === 0 || result.finishReason === 'aborted' || round === MOST_ROUNDS) {
      reply.ended = result.finishReason;
      return result;
    }
    const done = calls.map((call, i) => ({
      said: i === 0 ? said : '',
      ...call,
      result: runTool(call.name, call.arguments),
    }));
    reply.calls = [...(reply.calls ?? []), ...done];
    // What was said before the calls stands with them.
    reply.text = '';
    given = [...(given as Message[]), ...done.flatMap(callMessages)];
    places.log.grow();
  }
}

interface Streamed {
  result: GenerateResult;
  calls: { name: string; arguments: string }[];
  said: string;
}

async function streamOnce(
  model: Model,
  prompt: string | Message[] | number[],
  options: GenerateOptions,
  { reply, log, status, attention }: ReplyPlaces,
): Promise<Streamed> {
  const started = performance.now();
  let first = 0;
  let tokens = 0;
  let thoughtFrom: number | undefined;
  const earlier = reply.text.length;
  const calls: Streamed['calls'] = [];
  const parser = options.tools
    ? new ToolCallParser(
        TOOLS.map((tool) => tool.function.name),
        { thoughts: [] },
      )
    : undefined;
  const say = (text: string): void => {
    for (const part of parser?.push(text) ?? [{ text }]) {
      if ('call' in part) calls.push(part.call);
      else reply.text += part.text;
    }
  };
  const stream = model.generate(prompt, options);
  for (;;) {
    await whenVisible(options.signal);
    const step = await stream.next();
    if (step.done) {
      for (const part of parser?.flush() ?? [])
        if ('call' in part) calls.push(part.call);
        else reply.text += part.text;
      status.finished(step.value);
      attention.speed(step.value.timings.decodeTokensPerSecond);
      log.grow();
      return { result: step.value, calls, said: reply.text.slice(earlier) };
    }
    const now = performance.now();
    if (tokens++ === 0) first = now;
    const { text, reasoning } = step.value;
    if (reasoning !== undefined) {
      thoughtFrom ??= now;
      reply.reasoning = (reply.reasoning ?? '') + reasoning;
      reply.reasoningSeconds = (now - thoughtFrom) / 1000;
    }
    say(text);
    log.grow();
    status.running(first - started);
    if (tokens > 1) attention.speed(((tokens - 1) * 1000) / (now - first));
  }
}

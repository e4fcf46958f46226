import type { GenerateOptions, GenerateResult, Message } from '../../src/engine/types.ts';
import type { Model } from '../../src/index.ts';
import type { Attention } from './attention.ts';
import type { Log } from './log.ts';
import type { Status } from './status.ts';
import type { Exchange } from './store.ts';

/** The prompt of the last exchange: the conversation as messages, or a text to go on with. */
export function promptOf(exchanges: readonly Exchange[], system: string): string | Message[] {
  const last = exchanges.at(-1)!;
  if (last.mode === 'continue') return last.prompt + last.reply;
  const messages: Message[] = system ? [{ role: 'system', content: system }] : [];
  // A reply that was stopped before its first word is no turn.
  for (const { mode, prompt, reply, reasoning } of exchanges.slice(0, -1))
    if (mode === 'chat' && reply)
      messages.push(
        { role: 'user', content: prompt },
        // Templates say how much of earlier reasoning the model sees.
        { role: 'assistant', content: reply, ...(reasoning && { reasoning_content: reasoning }) },
      );
  messages.push({ role: 'user', content: last.prompt });
  return messages;
}

/** Share of the context that is kept free for the reply. */
const REPLY_SHARE = 0.2;

/** A conversation without its oldest exchanges, as many as must go for the rest and a reply to fit into the context. */
export async function fitted(
  model: Pick<Model, 'info' | 'encode' | 'applyChatTemplate'>,
  messages: readonly Message[],
  options: Pick<GenerateOptions, 'templateVariables'> = {},
): Promise<{ messages: Message[]; left: number }> {
  const room = Math.floor(model.info.contextLength * (1 - REPLY_SHARE));
  const system = messages.filter(({ role }) => role === 'system');
  const turns = messages.filter(({ role }) => role !== 'system');
  for (let left = 0; ; left++) {
    const kept = [...system, ...turns.slice(2 * left)];
    const tokens = await model.encode(await model.applyChatTemplate(kept, options));
    // The last question is not dropped: when it alone is too long, the model says so.
    if (tokens.length <= room || 2 * left >= turns.length - 1) return { messages: kept, left };
  }
}

/** Streams a reply into the last exchange, its place in the log and the figures. */
export async function streamReply(
  model: Model,
  prompt: string | Message[],
  options: GenerateOptions,
  into: { exchange: Exchange; log: Log; status: Status; attention: Attention },
): Promise<GenerateResult> {
  const { exchange, log, status, attention } = into;
  const started = performance.now();
  let first = 0;
  let tokens = 0;
  let thoughtFrom: number | undefined;
  const stream = model.generate(prompt, options);
  log.begin();
  try {
    for (;;) {
      const step = await stream.next();
      if (step.done) {
        exchange.ended = step.value.finishReason;
        status.finished(step.value, model.info.contextLength);
        attention.speed(step.value.timings.decodeTokensPerSecond);
        return step.value;
      }
      const now = performance.now();
      if (tokens++ === 0) first = now;
      const { text, reasoning } = step.value;
      if (reasoning !== undefined) {
        thoughtFrom ??= now;
        exchange.reasoning = (exchange.reasoning ?? '') + reasoning;
        exchange.reasoningSeconds = (now - thoughtFrom) / 1000;
        log.think(reasoning);
      }
      if (reasoning === undefined || text !== '') {
        exchange.reply += text;
        log.grow(text, exchange.reasoningSeconds);
      }
      status.running(first - started);
      if (tokens > 1) attention.speed(((tokens - 1) * 1000) / (now - first));
    }
  } finally {
    log.end();
  }
}

// The browsers' Prompt API over our models. Source: webmachinelearning.github.io/prompt-api
import { estimate, type LocalLoadOptions, loadModel } from '../api/load.ts';
import type { Model } from '../api/model.ts';
import type { WorkerLoadOptions } from '../api/remote.ts';
import { collect } from '../engine/collect.ts';
import type { GenerateOptions, LoadOptions, Message } from '../engine/types.ts';
import { anySignal, ShishuError } from '../errors.ts';
import type { SourceLike } from '../formats/open-source.ts';
import {
  checkExpected,
  constraintOf,
  type LanguageModelExpected,
  type LanguageModelMessage,
  type LanguageModelPrompt,
  type LanguageModelPromptOptions,
  messagesOf,
  notSupported,
  quotaExceeded,
} from './prompt-input.ts';

export type * from './prompt-input.ts';

export type Availability = 'unavailable' | 'downloadable' | 'downloading' | 'available';

/** What a session needs of a model: a `Model` has it all. */
export type PromptModel = Pick<Model, 'generate' | 'encode' | 'applyChatTemplate' | 'dispose'> & {
  readonly info: Pick<Model['info'], 'contextLength' | 'sampling'>;
};

export interface LanguageModelCreateCoreOptions {
  /** Both or neither, as in the browsers' own; default: as the model's files say. */
  topK?: number;
  temperature?: number;
  expectedInputs?: readonly LanguageModelExpected[];
  expectedOutputs?: readonly LanguageModelExpected[];
}

export interface LanguageModelCreateOptions extends LanguageModelCreateCoreOptions {
  signal?: AbortSignal;
  /** Gets a target of `downloadprogress` events, whose `loaded` goes from 0 to 1. */
  monitor?: (monitor: EventTarget) => void;
  initialPrompts?: readonly LanguageModelMessage[];
}

/** The conversation of one session. */
export interface LanguageModelSession extends EventTarget {
  prompt(input: LanguageModelPrompt, options?: LanguageModelPromptOptions): Promise<string>;
  promptStreaming(input: LanguageModelPrompt, options?: LanguageModelPromptOptions): ReadableStream<string>;
  /** Adds messages without an answer. */
  append(input: LanguageModelPrompt, options?: { signal?: AbortSignal }): Promise<void>;
  /** Tokens that the input would add to the conversation. */
  measureContextUsage(input: LanguageModelPrompt, options?: LanguageModelPromptOptions): Promise<number>;
  /** Tokens of the conversation, and most that there may be. */
  readonly contextUsage: number;
  readonly contextWindow: number;
  /** Told when the oldest messages, but for the initial ones, were dropped. */
  oncontextoverflow: ((event: Event) => void) | null;
  readonly topK: number;
  readonly temperature: number;
  clone(options?: { signal?: AbortSignal }): Promise<LanguageModelSession>;
  destroy(): void;
}

/** The browsers' `LanguageModel`, over one model. */
export interface LanguageModelApi {
  availability(options?: LanguageModelCreateCoreOptions): Promise<Availability>;
  create(options?: LanguageModelCreateOptions): Promise<LanguageModelSession>;
}

/** Errors as the browsers' own have them. */
function domError(error: unknown): unknown {
  if (!(error instanceof ShishuError)) return error;
  const { code, message } = error;
  if (code === 'aborted') return new DOMException(message, 'AbortError');
  if (code === 'bad-argument') return new TypeError(message, { cause: error });
  if (code === 'unsupported' || code === 'no-webgpu') return new DOMException(message, 'NotSupportedError');
  if (code === 'io' || code === 'not-found') return new DOMException(message, 'NetworkError');
  return new DOMException(message, 'OperationError');
}

/** Rejects when the signal is raised. */
const rejection = (signal: AbortSignal | undefined): Promise<never> =>
  new Promise((_, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
  });

interface Talk {
  model: PromptModel;
  sampling: Pick<GenerateOptions, 'topK' | 'temperature'>;
  /** Never dropped. */
  initial: readonly Message[];
  said: readonly Message[];
}

class Session extends EventTarget implements LanguageModelSession {
  readonly #model: PromptModel;
  readonly #sampling: Talk['sampling'];
  readonly #initial: readonly Message[];
  #said: readonly Message[];
  #usage = 0;
  /** Prompts of one session run one after the other. */
  #last: Promise<unknown> = Promise.resolve();
  readonly #destroyed = new AbortController();
  oncontextoverflow: ((event: Event) => void) | null = null;

  constructor({ model, sampling, initial, said }: Talk) {
    super();
    this.#model = model;
    this.#sampling = sampling;
    this.#initial = initial;
    this.#said = said;
  }

  /** @throws DOMException `QuotaExceededError` */
  async begin(): Promise<this> {
    this.#usage = await this.#count(this.#all, false);
    if (this.#usage > this.contextWindow) throw quotaExceeded(this.#usage, this.contextWindow);
    return this;
  }

  get #all(): readonly Message[] {
    return [...this.#initial, ...this.#said];
  }

  get contextUsage(): number {
    return this.#usage;
  }

  get contextWindow(): number {
    return this.#model.info.contextLength;
  }

  get topK(): number {
    return this.#sampling.topK ?? 0;
  }

  get temperature(): number {
    return this.#sampling.temperature ?? 0;
  }

  async #count(messages: readonly Message[], answered: boolean): Promise<number> {
    if (messages.length === 0) return 0;
    const text = await this.#model.applyChatTemplate(messages, { addGenerationPrompt: answered });
    return (await this.#model.encode(text)).length;
  }

  /** @throws DOMException `InvalidStateError`, `AbortError` */
  #check(signal: AbortSignal | undefined): void {
    if (this.#destroyed.signal.aborted)
      throw new DOMException('The session was destroyed.', 'InvalidStateError');
    signal?.throwIfAborted();
  }

  /** Runs behind what the session does already. */
  #next<T>(signal: AbortSignal | undefined, run: () => Promise<T>): Promise<T> {
    const done = this.#last.then(async () => {
      this.#check(signal);
      return run();
    });
    this.#last = done.catch(() => {});
    return done.catch((error) => {
      signal?.throwIfAborted();
      if (this.#destroyed.signal.aborted) throw new DOMException('The session was destroyed.', 'AbortError');
      throw domError(error);
    });
  }

  /** Drops the oldest exchanges until the messages fit, and room for a token is left. */
  async #fit(messages: readonly Message[], answered: boolean): Promise<readonly Message[]> {
    const room = this.contextWindow - (answered ? 1 : 0);
    let said = this.#said;
    let taken = await this.#count([...this.#initial, ...said, ...messages], answered);
    const dropped = taken > room && said.length > 0;
    while (taken > room && said.length > 0) {
      // An exchange begins with the user.
      const next = said.findIndex(({ role }, i) => i > 0 && role === 'user');
      said = next < 0 ? [] : said.slice(next);
      taken = await this.#count([...this.#initial, ...said, ...messages], answered);
    }
    if (taken > room) throw quotaExceeded(taken, room);
    if (dropped) {
      this.#said = said;
      const event = new Event('contextoverflow');
      this.dispatchEvent(event);
      this.oncontextoverflow?.(event);
    }
    this.#usage = taken;
    return [...this.#initial, ...said, ...messages];
  }

  /** The answer in pieces, as the model makes them; the conversation goes on once it is whole. */
  async #answer(
    input: LanguageModelPrompt,
    { responseConstraint, signal }: LanguageModelPromptOptions,
    tell: (text: string) => void,
  ): Promise<string> {
    const messages = messagesOf(input, this.#all.length === 0);
    const constraint = constraintOf(responseConstraint);
    const all = await this.#fit(messages, true);
    const ends = anySignal(this.#destroyed.signal, signal);
    const options = { ...this.#model.info.sampling, ...this.#sampling, ...constraint, signal: ends };
    const reply = this.#model.generate(all, options);
    try {
      const { text } = await collect(reply, (chunk) => {
        if (chunk.text) tell(chunk.text);
      });
      ends.throwIfAborted();
      this.#said = [...this.#said, ...messages, { role: 'assistant', content: text }];
      this.#usage = Math.min(await this.#count(this.#all, false), this.contextWindow);
      return text;
    } catch (error) {
      this.#usage = await this.#count(this.#all, false).catch(() => this.#usage);
      throw error;
    } finally {
      await reply.return(undefined as never);
    }
  }

  prompt(input: LanguageModelPrompt, options: LanguageModelPromptOptions = {}): Promise<string> {
    return this.#next(options.signal, () => this.#answer(input, options, () => {}));
  }

  promptStreaming(
    input: LanguageModelPrompt,
    options: LanguageModelPromptOptions = {},
  ): ReadableStream<string> {
    const cancelled = new AbortController();
    const signal = anySignal(cancelled.signal, options.signal);
    return new ReadableStream<string>({
      start: (stream) => {
        // It is told by the stream.
        this.#next(signal, () => this.#answer(input, { ...options, signal }, (text) => stream.enqueue(text)))
          .then(() => stream.close())
          .catch((error) => stream.error(error));
      },
      cancel: () => cancelled.abort(),
    });
  }

  append(input: LanguageModelPrompt, { signal }: { signal?: AbortSignal } = {}): Promise<void> {
    return this.#next(signal, async () => {
      const messages = messagesOf(input, this.#all.length === 0);
      await this.#fit(messages, false);
      this.#said = [...this.#said, ...messages];
    });
  }

  measureContextUsage(
    input: LanguageModelPrompt,
    { signal }: LanguageModelPromptOptions = {},
  ): Promise<number> {
    return this.#next(signal, async () => {
      const messages = messagesOf(input, this.#all.length === 0);
      return (await this.#count([...this.#all, ...messages], true)) - (await this.#count(this.#all, false));
    });
  }

  clone({ signal }: { signal?: AbortSignal } = {}): Promise<LanguageModelSession> {
    return this.#next(signal, () =>
      new Session({
        model: this.#model,
        sampling: this.#sampling,
        initial: this.#initial,
        said: this.#said,
      }).begin(),
    );
  }

  destroy(): void {
    this.#destroyed.abort();
  }
}

/**
 * The browsers' `LanguageModel` over one of our models: `globalThis.LanguageModel ??= promptApi('owner/name')`. The model is
 * loaded with the first session, in a worker unless the options say otherwise, and shared by all.
 * @param source a loaded model, or what `loadModel` takes
 */
export function promptApi(
  source: PromptModel | SourceLike,
  options: LocalLoadOptions | WorkerLoadOptions = { worker: true },
): LanguageModelApi {
  const given = typeof (source as PromptModel).generate === 'function' ? (source as PromptModel) : undefined;
  let loaded = given;
  let loading: Promise<PromptModel> | undefined;
  const monitors = new Set<EventTarget>();
  const progress = (part: number): void => {
    for (const monitor of monitors)
      monitor.dispatchEvent(Object.assign(new Event('downloadprogress'), { loaded: part, total: 1 }));
  };
  const load = (): Promise<PromptModel> => {
    loading ??= loadModel(source as SourceLike, {
      ...options,
      onProgress: (told) => {
        options.onProgress?.(told);
        if (told.phase === 'read' && told.totalBytes > 0) progress(told.loadedBytes / told.totalBytes);
      },
    })
      .then((model) => {
        progress(1);
        loaded = model;
        return model;
      })
      .finally(() => {
        loading = undefined;
      });
    return loading;
  };
  const check = (asked: LanguageModelCreateCoreOptions & { tools?: readonly unknown[] }): void => {
    checkExpected(asked.expectedInputs);
    checkExpected(asked.expectedOutputs);
    if (asked.tools && asked.tools.length > 0) throw notSupported('A session with tools');
    if ((asked.topK === undefined) !== (asked.temperature === undefined))
      throw notSupported('One of topK and temperature without the other');
  };

  return {
    async availability(asked = {}) {
      try {
        check(asked);
      } catch {
        return 'unavailable';
      }
      if (loaded) return 'available';
      if (loading) return 'downloading';
      const { worker: _, ...rest } = options as WorkerLoadOptions;
      return estimate(source as SourceLike, rest as LoadOptions).then(
        () => 'downloadable' as const,
        () => 'unavailable' as const,
      );
    },
    async create(asked = {}) {
      const { signal, monitor, initialPrompts, topK, temperature } = asked;
      signal?.throwIfAborted();
      check(asked);
      const initial = initialPrompts?.length ? messagesOf(initialPrompts, true) : [];
      const own = new EventTarget();
      monitor?.(own);
      monitors.add(own);
      try {
        // Others may wait for the same model: who gives up does not end its load.
        const model = loaded ?? (await Promise.race([load(), rejection(signal)]));
        const sampling = topK === undefined ? {} : { topK, temperature: temperature! };
        return await new Session({ model, sampling, initial, said: [] }).begin();
      } catch (error) {
        throw domError(error);
      } finally {
        monitors.delete(own);
      }
    },
  };
}

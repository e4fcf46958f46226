import { ShishuError, throwIfAborted } from '../errors.ts';
import type { ToolFormat } from '../formats/chat-template.ts';
import type { Tokenizer } from '../formats/tokenizer.ts';
import { guardMemory } from '../gpu/buffer.ts';
import { type Gpu, lossOr, throwIfLost } from '../gpu/device.ts';
import type { Constraint, Masks } from '../grammar/constraint.ts';
import type { LinearMapData } from '../model/linear-maps.ts';
import { kvBytesPerToken, type Plan, parameterCount } from '../model/plan.ts';
import { part } from '../part.ts';
import type { ChoiceKind, Chosen } from './choosing.ts';
import type { MaskCache } from './mask-cache.ts';
import { completeOrder, type ModeSetting, modesOf, type PruneOrder, planInModes } from './modes.ts';
import { type CheckedOptions, checkOptions } from './options.ts';
import { PrefixCache } from './prefix-cache.ts';
import { Queue } from './queue.ts';
import { Reply } from './reply.ts';
import type { Runner } from './runner.ts';
import type {
  BatchChunk,
  GenerateChunk,
  GenerateOptions,
  GenerateResult,
  Message,
  ModelInfo,
  ReloadOptions,
  Score,
  SelfTest,
  WholeOptions,
} from './types.ts';

const scoring = () => part(() => import('./scoring.ts'));

/** What `loadModel` puts together. */
export interface ModelParts {
  gpu: Gpu;
  runner: Runner;
  tokenizer: Tokenizer;
  /** As loaded: all of the model's attention. */
  plan: Plan;
  eosTokenIds: readonly number[];
  dispatchesPerToken: number;
  selfTest: SelfTest;
}

/** A loaded model. Calls queue: one runs at a time, in the order they were made. */
export class Model {
  #parts: ModelParts;
  #queue = new Queue();
  /** Lets one change of modes at a time ask the GPU for memory. */
  #changes = new Queue();
  readonly #reopen: (options: ReloadOptions) => Promise<ModelParts>;
  #reloading: Promise<void> | undefined;
  /** The plan that runs now, and what a token takes in it. */
  #running: { plan: Plan; dispatchesPerToken: number };
  #pruneOrder: PruneOrder | undefined;
  #prefix = new PrefixCache();
  #disposed = false;
  #masks: Promise<MaskCache> | undefined;

  /** @internal `reopen` loads the same model once more. */
  constructor(parts: ModelParts, reopen: (options: ReloadOptions) => Promise<ModelParts>) {
    this.#parts = parts;
    this.#running = parts;
    this.#reopen = reopen;
  }

  #live(): ModelParts {
    if (this.#disposed)
      throw new ShishuError('disposed', 'The model was disposed.', { mend: 'Load it again to use it.' });
    return this.#parts;
  }

  /** Ends a call whose model was disposed, or lost. */
  #still({ gpu }: ModelParts): void {
    this.#live();
    throwIfLost(gpu);
  }

  /** Configuration, plan, modes, sizes; bytes are the ledger's at this moment. */
  get info(): ModelInfo {
    const { runner, plan, gpu, selfTest } = this.#live();
    const { plan: running, dispatchesPerToken } = this.#running;
    const { config, kv, weights } = runner.parts;
    return {
      config,
      plan,
      modes: modesOf(plan, running),
      parameters: parameterCount(config),
      dtype: [...weights.mlp.values()][0]!.down.dtype,
      kv: kv.dtype,
      kvBytesPerToken: kvBytesPerToken(config, running, kv.dtype === 'f32' ? 4 : 2),
      contextLength: kv.context,
      batch: kv.sequences,
      bytes: runner.ledger.byPurpose(),
      selfTest,
      dispatchesPerToken,
      adapter: gpu.name,
    };
  }

  get hasChatTemplate(): boolean {
    return this.#live().tokenizer.hasChatTemplate;
  }

  /** How the chat template has tools called; undefined where it has none, or in a form that is not known. */
  get toolFormat(): ToolFormat | undefined {
    return this.#live().tokenizer.toolFormat;
  }

  /** Token ids of a text, with the special tokens that the model expects around it. */
  encode(text: string): number[] {
    return this.#live().tokenizer.encode(text);
  }

  /** Text of token ids, without control tokens. */
  decode(tokenIds: readonly number[]): string {
    return this.#live().tokenizer.decode(tokenIds);
  }

  /** A conversation as the model reads it. @throws ShishuError `unsupported` when the model has no chat template. */
  applyChatTemplate(messages: readonly Message[], options: { addGenerationPrompt?: boolean } = {}): string {
    return this.#live().tokenizer.applyChatTemplate(messages, options);
  }

  #promptIds(prompt: string | readonly Message[] | Uint32Array, options: CheckedOptions): number[] {
    const { tokenizer, runner } = this.#live();
    const { context } = runner.parts.kv;
    const ids =
      typeof prompt === 'string'
        ? tokenizer.encode(prompt)
        : prompt instanceof Uint32Array
          ? [...prompt]
          : tokenizer.encodeChat(prompt, options);
    if (ids.length === 0 || prompt.length === 0)
      throw new ShishuError('bad-argument', 'The prompt is empty.', {
        mend: 'Give at least one token of text.',
      });
    this.#checkIds(ids);
    if (ids.length > context)
      throw new ShishuError(
        'context-full',
        `The prompt has ${ids.length} tokens, the context holds ${context}.`,
        {
          details: { tokens: ids.length, limit: context },
          mend: 'Shorten the prompt, or load the model with a larger contextLength.',
        },
      );
    return ids;
  }

  #checkIds(ids: readonly number[]): void {
    const { vocabSize } = this.#live().runner.parts.config;
    const odd = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
    if (odd !== undefined)
      throw new ShishuError('bad-argument', `Token id ${odd} is not below the vocabulary's ${vocabSize}.`, {
        details: { tokenId: odd, limit: vocabSize },
      });
  }

  /** A constraint, ready for use; the code for it is fetched with the first one. */
  async #masksOf(constraint: Constraint): Promise<Masks> {
    const { tokenizer, runner } = this.#parts;
    this.#masks ??= part(() => import('./mask-cache.ts')).then(
      ({ MaskCache }) => new MaskCache(tokenizer, runner.parts.config.vocabSize),
    );
    return (await this.#masks).of(constraint);
  }

  /** Sets a sequence up to choose the next token of a reply: sampler, penalties, bias and mask. */
  async #prepare(
    kind: ChoiceKind,
    options: CheckedOptions,
    prompt: readonly number[],
    reply: Reply,
  ): Promise<void> {
    const { sequence, tokenIds } = reply;
    const { runner } = this.#parts;
    const { vocabSize } = runner.parts.config;
    const counts = new Uint32Array(kind.adjusted ? vocabSize : 0);
    if (kind.adjusted) {
      for (const id of prompt) counts[id] = 1;
      for (const id of tokenIds) counts[id]! += 2;
    }
    const bias = kind.bias ? new Float32Array(vocabSize) : undefined;
    for (const [id, add] of options.logitBias) bias![id] = add;
    const sampler = { ...options, seed: options.seed + sequence };
    await runner.choosing.setSampler(sequence, kind, sampler, { counts, bias });
    this.#mask([reply]);
  }

  /** Lets the replies under a constraint choose only what it allows next. */
  #mask(replies: readonly Reply[]): void {
    for (const { sequence, constraint } of replies)
      if (constraint) this.#parts.runner.choosing.setMask(sequence, constraint.mask());
  }

  /**
   * Streams a reply to a text, a conversation (through the model's chat template) or token ids.
   * Leaving the loop early ends the reply. The generator's return value holds the whole of it.
   * @throws ShishuError `bad-argument`, `context-full`, `device-lost`, `disposed`
   */
  async *generate(
    prompt: string | readonly Message[] | Uint32Array,
    options: GenerateOptions = {},
  ): AsyncGenerator<GenerateChunk, GenerateResult, undefined> {
    const replies = this.generateBatch(prompt, 1, options);
    try {
      let next = await replies.next();
      for (; !next.done; next = await replies.next()) {
        const { index: _, ...chunk } = next.value;
        yield chunk;
      }
      return next.value[0]!;
    } finally {
      await replies.return(undefined as never);
    }
  }

  /**
   * As `generate`, `n` replies to one prompt that decode together; reply i is drawn with `seed + i`. The prompt runs once.
   * @throws ShishuError `bad-argument` also when the model was loaded with a `batch` below `n`
   */
  async *generateBatch(
    prompt: string | readonly Message[] | Uint32Array,
    n: number,
    options: GenerateOptions = {},
  ): AsyncGenerator<BatchChunk, GenerateResult[], undefined> {
    const parts = this.#live();
    const { runner, tokenizer, eosTokenIds } = parts;
    if (!Number.isInteger(n) || n < 1 || n > runner.sequences)
      throw new ShishuError('bad-argument', `${n} replies are asked for, the batch is ${runner.sequences}.`, {
        details: { replies: n, limit: runner.sequences },
        mend: 'Load the model with a larger batch.',
      });
    const checked = checkOptions(options, runner.parts.config.vocabSize);
    const ownPlan = checked.modes && this.#planOf(checked.modes);
    const promptTokenIds = this.#promptIds(prompt, checked);
    const masks = checked.constraint && (await this.#masksOf(checked.constraint));
    const release = await this.#queue.enter();
    try {
      this.#still(parts);
      const begun = performance.now();
      const { context } = runner.parts.kv;
      const limit = Math.min(
        checked.maxTokens ?? Number.POSITIVE_INFINITY,
        Math.max(1, context - promptTokenIds.length),
      );
      const { signal } = checked;
      const kind: ChoiceKind = {
        greedy: checked.temperature === 0,
        adjusted:
          masks !== undefined ||
          checked.repetitionPenalty !== 1 ||
          checked.frequencyPenalty !== 0 ||
          checked.presencePenalty !== 0 ||
          checked.logitBias.size > 0,
        bias: checked.logitBias.size > 0,
        mask: masks !== undefined,
        top: checked.top,
      };
      const enders = new Set([...(checked.ignoreEos ? [] : eosTokenIds), ...checked.stopTokenIds]);
      const continued = typeof prompt === 'string' ? promptTokenIds : [];
      const replies = Array.from({ length: n }, (_, sequence) => {
        const constraint = masks?.reply(enders);
        return new Reply(tokenizer, { sequence, enders, stop: checked.stop, limit, continued, constraint });
      });
      const open = (): Reply[] => replies.filter((reply) => !reply.finishReason);

      // What is cached of each sequence: of the first between replies too.
      const cached: PrefixCache[] = [];
      let cachedTokens: number | undefined;
      try {
        // Once, and again behind each change of modes: what is known so far is then the prompt.
        while (open().length > 0) {
          throwIfAborted(signal);
          const plan = ownPlan ?? this.#running.plan;
          await this.#ready(plan);
          // A reset in between leaves this one to the reply.
          cached[0] = this.#prefix;
          const choices: Chosen[] = [];
          for (const reply of open()) {
            const { sequence, tokenIds } = reply;
            if (!cached[sequence]) {
              // The prompt's K and V are the first sequence's.
              runner.copyKv(plan, 0, [sequence]);
              cached[sequence] = cached[0].copy();
            }
            const prefix = cached[sequence];
            await this.#prepare(kind, checked, promptTokenIds, reply);
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
            this.#still(parts);
          }
          const [some] = open();
          if (!some) break;
          this.#mask(open());
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
            if (open().length === 0 || plan !== (ownPlan ?? this.#running.plan)) break;
            for (const reply of open()) {
              // The step that chose this token has put the one before it into the cache.
              cached[reply.sequence]!.append(reply.tokenIds.slice(-1), plan);
              const chunk = reply.take(chosen);
              if (chunk) yield { index: reply.sequence, ...chunk };
              this.#still(parts);
            }
            if (open().length === 0) break;
            this.#mask(open());
          }
        }
      } catch (error) {
        // A read-back of freed buffers fails in its own words.
        this.#live();
        if (!(error instanceof ShishuError && error.code === 'aborted')) throw await lossOr(parts.gpu, error);
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
    } finally {
      release();
    }
  }

  /** The plan of a setting, by the model's own order and maps. */
  #planOf(setting: ModeSetting): Plan {
    const { plan, runner } = this.#live();
    return planInModes(plan, setting, this.#pruneOrder, runner.parts.weights.linear);
  }

  /** Makes what a plan lacks to run. */
  async #ready(plan: Plan): Promise<void> {
    const release = await this.#changes.enter();
    try {
      const parts = this.#live();
      this.#still(parts);
      await parts.runner.ready(plan);
    } finally {
      release();
    }
  }

  /**
   * Sets how the attention blocks run, from the next token on, also of a reply that is under way (but for one with `modes` of
   * its own). Modes go down from `attention` over `linear` (a map in its place, see `setLinearMaps`) to `skip`.
   *
   * Going down keeps what is cached: later tokens attend to K and V that fuller modes made, and each position counts in the
   * modes it ran in. Going up, in any block, runs anew what was not made in exactly the new modes: logits are then those of a
   * fresh run. `reset` makes any run a fresh one.
   * @param setting a mode for some layers, the others keep their attention (`{}` is all of it); or the share that keeps it
   * @param options `releaseKv`: then free the KV buffers that these modes do not use, as `releaseUnusedKv`
   * @throws ShishuError `bad-argument`: a layer that is not an attention block, `linear` without a map, a level out of range;
   * `out-of-memory`, when KV buffers that were released do not fit any more: the modes stay as they were
   */
  async setModes(setting: ModeSetting, { releaseKv = false }: { releaseKv?: boolean } = {}): Promise<void> {
    const plan = this.#planOf(setting);
    await this.#ready(plan);
    const { length } = await this.#live().runner.decodeDispatches(plan);
    this.#running = { plan, dispatchesPerToken: length };
    if (releaseKv) await this.releaseUnusedKv();
  }

  /** Sets the order in which levels of `setModes` take attention away. @throws ShishuError `bad-argument` */
  setPruneOrder(order: PruneOrder): void {
    const { plan, runner } = this.#live();
    completeOrder(plan, order, runner.parts.weights.linear);
    this.#pruneOrder = order;
  }

  /**
   * Frees the KV buffers of blocks that do not attend in the modes that are set; waits for the calls before it. Going up makes
   * them again, and runs again what they held.
   */
  async releaseUnusedKv(): Promise<void> {
    const release = await this.#queue.enter();
    try {
      this.#prefix.release(this.#live().runner.releaseUnusedKv(this.#running.plan));
    } finally {
      release();
    }
  }

  /**
   * Gives attention blocks linear maps (f32), by layer, for the mode `linear`; waits for the calls before it. A map that is
   * there is replaced. What is cached is forgotten.
   * @throws ShishuError `bad-argument`: a layer that is not an attention block, wrong lengths, numbers that are not finite;
   * `out-of-memory`
   */
  async setLinearMaps(maps: Readonly<Record<number, LinearMapData>>): Promise<void> {
    this.#live();
    const release = await this.#queue.enter();
    try {
      const { checkLinearMaps, installLinearMap } = await part(() => import('../model/linear-maps.ts'));
      const { plan, runner, gpu } = this.#live();
      const { config, weights } = runner.parts;
      const entries = checkLinearMaps(plan, config.hiddenSize, maps);
      this.#prefix = new PrefixCache();
      await guardMemory(gpu, 'linear maps', () => {
        for (const [layer, map] of entries) installLinearMap(gpu, runner.ledger, weights, layer, map);
      });
    } finally {
      release();
    }
  }

  async #whole<T>(
    tokenIds: readonly number[],
    { modes }: WholeOptions,
    run: (runner: Runner, plan: Plan) => Promise<T>,
  ): Promise<T> {
    this.#live();
    const ownPlan = modes && this.#planOf(modes);
    if (tokenIds.length === 0) throw new ShishuError('bad-argument', 'There are no tokens.');
    this.#checkIds(tokenIds);
    const { context } = this.#parts.runner.parts.kv;
    if (tokenIds.length > context)
      throw new ShishuError(
        'context-full',
        `There are ${tokenIds.length} tokens, the context holds ${context}.`,
        {
          details: { tokens: tokenIds.length, limit: context },
          mend: 'Load the model with a larger contextLength, or use fewer tokens.',
        },
      );
    const release = await this.#queue.enter();
    const parts = this.#live();
    try {
      const plan = ownPlan ?? this.#running.plan;
      const prefix = new PrefixCache();
      this.#prefix = prefix;
      await this.#ready(plan);
      const value = await run(parts.runner, plan);
      // A prompt that begins with this text need not run it again.
      prefix.append(tokenIds, plan);
      return value;
    } catch (error) {
      this.#live();
      throw await lossOr(parts.gpu, error);
    } finally {
      release();
    }
  }

  /** How likely a text is: one prefill, positions 0 up. @throws ShishuError `bad-argument`, `context-full`. */
  score(tokenIds: readonly number[], options: WholeOptions = {}): Promise<Score> {
    return this.#whole(tokenIds, options, async (runner, plan) => {
      const { ofTokens, scoreOf } = await scoring();
      const { logprobs: next, top1 } = await scoreOf(runner, plan, tokenIds, options.signal);
      const logprobs = ofTokens(next);
      const total = logprobs.reduce((sum, value) => sum + value, 0);
      return { nll: tokenIds.length > 1 ? -total / (tokenIds.length - 1) : 0, logprobs, top1 };
    });
  }

  /** Logits of every position: `(tokens, vocab)` f32. */
  logits(tokenIds: readonly number[], options: WholeOptions = {}): Promise<Float32Array<ArrayBuffer>> {
    return this.#whole(tokenIds, options, async (runner, plan) =>
      (await scoring()).logitsOf(runner, plan, tokenIds, options.signal),
    );
  }

  /** Forgets the conversation: the next prompt is prefilled whole. */
  reset(): void {
    this.#live();
    this.#prefix = new PrefixCache();
  }

  /**
   * Loads the model again after its device was lost (calls then reject with `device-lost`): from where it came, in a page
   * mostly from the cache, onto a new device. The modes are kept; blocks that ran in linear maps of `setLinearMaps` get their
   * attention back. Then a conversation goes on: its next prompt is prefilled whole. Does nothing where nothing was lost.
   * @throws ShishuError those of `loadModel`; the model can then be reloaded once more
   */
  reload(options: ReloadOptions = {}): Promise<void> {
    this.#reloading ??= this.#reload(options).finally(() => {
      this.#reloading = undefined;
    });
    return this.#reloading;
  }

  async #reload(options: ReloadOptions): Promise<void> {
    const lost = this.#live();
    if (lost.gpu.lost === undefined) return;
    free(lost);
    const parts = await this.#reopen(options);
    if (this.#disposed) free(parts);
    this.#live();
    const { linear } = parts.runner.parts.weights;
    const modes = Object.entries(modesOf(lost.plan, this.#running.plan));
    this.#parts = parts;
    this.#running = parts;
    this.#prefix = new PrefixCache();
    // A reply that nobody reads on must not hold the others up.
    this.#queue = new Queue();
    this.#changes = new Queue();
    const kept = modes.filter(([layer, mode]) => mode !== 'linear' || linear.has(Number(layer)));
    await this.setModes(Object.fromEntries(kept));
  }

  /** Frees every byte on the GPU; a reply under way, and any later call, ends with a `disposed` error. Twice is no error. */
  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    await this.#parts.gpu.device.queue.onSubmittedWorkDone().catch(() => undefined);
    free(this.#parts);
  }
}

function free({ runner, gpu }: ModelParts): void {
  runner.ledger.releaseAll();
  gpu.close();
}

const perSecond = (tokens: number, ms: number): number => (tokens > 0 && ms > 0 ? (1000 * tokens) / ms : 0);

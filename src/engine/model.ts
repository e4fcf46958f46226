import { ShishuError } from '../errors.ts';
import type { ChatTemplateOptions, ThoughtTags, ToolFormat } from '../formats/chat-template.ts';
import type { Tokenizer } from '../formats/tokenizer.ts';
import { guardMemory } from '../gpu/buffer.ts';
import { type Gpu, lossOr, throwIfLost } from '../gpu/device.ts';
import type { Constraint, Masks } from '../grammar/constraint.ts';
import type { WeightDtype } from '../kernels/tensor.ts';
import type { LinearMapData } from '../model/linear-maps.ts';
import { kvBytesPerToken, type Plan, parameterCount } from '../model/plan.ts';
import { keptPart, part } from '../part.ts';
import { generateReplies } from './generate.ts';
import { completeOrder, type ModeSetting, modesOf, type PruneOrder, planInModes } from './modes.ts';
import { checkOptions } from './options.ts';
import { Places } from './places.ts';
import { PrefixCache } from './prefix-cache.ts';
import { checkIds, idList, promptIds } from './prompt.ts';
import type { Runner } from './runner.ts';
import { Scheduler } from './scheduler.ts';
import { logitsOf, ofTokens, scoreOf } from './scoring.ts';
import type {
  BatchChunk,
  GenerateChunk,
  GenerateOptions,
  GenerateResult,
  Message,
  ModelInfo,
  Prompt,
  ReloadOptions,
  Score,
  SelfTest,
  TokenIds,
  WholeOptions,
} from './types.ts';

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
  dtype: WeightDtype;
  f32Tensors: readonly string[];
}

/** A loaded model. As many replies run at once as it was loaded for (`batch`); other calls wait for those before them. */
export class Model {
  #parts: ModelParts;
  #scheduler: Scheduler;
  /** Lets one change of modes at a time ask the GPU for memory. */
  #changes = new Places(1);
  readonly #reopen: (options: ReloadOptions) => Promise<ModelParts>;
  #reloading: Promise<void> | undefined;
  /** The plan that runs now, and what a token takes in it. */
  #running: { plan: Plan; dispatchesPerToken: number };
  #pruneOrder: PruneOrder | undefined;
  #disposed = false;
  readonly #masks = keptPart(async () => {
    const { MaskCache } = await import('./mask-cache.ts');
    const { tokenizer, runner } = this.#parts;
    return new MaskCache(tokenizer, runner.parts.config.vocabSize);
  });

  /** @internal `reopen` loads the same model once more. */
  constructor(parts: ModelParts, reopen: (options: ReloadOptions) => Promise<ModelParts>) {
    this.#parts = parts;
    this.#running = parts;
    this.#scheduler = this.#schedule(parts);
    this.#reopen = reopen;
  }

  #schedule(parts: ModelParts): Scheduler {
    return new Scheduler(parts.runner, {
      ready: (plan) => this.#ready(plan),
      still: () => this.#still(parts),
    });
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
    const { runner, plan, gpu, selfTest, dtype, f32Tensors } = this.#live();
    const { plan: running, dispatchesPerToken } = this.#running;
    const { config, kv } = runner.parts;
    return {
      config,
      plan,
      modes: modesOf(plan, running),
      parameters: parameterCount(config),
      dtype,
      f32Tensors,
      kv: kv.dtype,
      kvBytesPerToken: kvBytesPerToken(config, running, kv.dtype === 'f32' ? 4 : 2),
      contextLength: kv.context,
      batch: kv.sequences,
      bytes: runner.ledger.byPurpose(),
      selfTest,
      dispatchesPerToken,
      adapter: gpu.name,
      profile: gpu.profile,
    };
  }

  get hasChatTemplate(): boolean {
    return this.#live().tokenizer.hasChatTemplate;
  }

  /** How the chat template has tools called; undefined where it has none, or in a form that is not known. */
  get toolFormat(): ToolFormat | undefined {
    return this.#live().tokenizer.toolFormat;
  }

  /** What the chat template shows around the model's thoughts, as `<think>`. */
  get thoughtTags(): readonly ThoughtTags[] {
    return this.#live().tokenizer.thoughtTags;
  }

  /** Token ids of a text, with the special tokens that the model expects around it. */
  encode(text: string): number[] {
    return this.#live().tokenizer.encode(text);
  }

  /** Text of token ids, without control tokens. */
  decode(tokenIds: TokenIds): string {
    return this.#live().tokenizer.decode(idList(tokenIds));
  }

  /** A conversation as the model reads it. @throws ShishuError `unsupported` when the model has no chat template. */
  applyChatTemplate(messages: readonly Message[], options: ChatTemplateOptions = {}): string {
    return this.#live().tokenizer.applyChatTemplate(messages, options);
  }

  /** A constraint, ready for use; the code for it is fetched with the first one. */
  async #masksOf(constraint: Constraint): Promise<Masks> {
    return (await this.#masks()).of(constraint);
  }

  /**
   * Streams a reply to a text, a conversation (through the model's chat template) or token ids.
   * Leaving the loop early ends the reply. The generator's return value holds the whole of it.
   * @throws ShishuError `bad-argument`, `context-full`, `device-lost`, `disposed`
   */
  async *generate(
    prompt: Prompt,
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
    prompt: Prompt,
    n: number,
    options: GenerateOptions = {},
  ): AsyncGenerator<BatchChunk, GenerateResult[], undefined> {
    const parts = this.#live();
    const { runner } = parts;
    if (!Number.isInteger(n) || n < 1 || n > runner.sequences)
      throw new ShishuError('bad-argument', `${n} replies are asked for, the batch is ${runner.sequences}.`, {
        details: { replies: n, limit: runner.sequences },
        mend: 'Load the model with a larger batch.',
      });
    const checked = checkOptions(options, runner.parts.config.vocabSize);
    const ownPlan = checked.modes && this.#planOf(checked.modes);
    const promptTokenIds = promptIds(parts, prompt, checked);
    const masks = checked.constraint && (await this.#masksOf(checked.constraint));
    this.#still(parts);
    return yield* generateReplies(
      { ...parts, scheduler: this.#scheduler, still: () => this.#still(parts) },
      {
        promptTokenIds,
        continues: typeof prompt === 'string',
        replies: n,
        options: checked,
        masks,
        plan: () => ownPlan ?? this.#running.plan,
      },
    );
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
    await this.#scheduler.alone(async () => {
      const gone = this.#live().runner.releaseUnusedKv(this.#running.plan);
      for (const { prefix } of this.#scheduler.slots) prefix.release(gone);
    });
  }

  /**
   * Gives attention blocks linear maps (f32), by layer, for the mode `linear`; waits for the calls before it. A map that is
   * there is replaced. What is cached is forgotten.
   * @throws ShishuError `bad-argument`: a layer that is not an attention block, wrong lengths, numbers that are not finite;
   * `out-of-memory`
   */
  async setLinearMaps(maps: Readonly<Record<number, LinearMapData>>): Promise<void> {
    this.#live();
    await this.#scheduler.alone(async () => {
      const { checkLinearMaps, installLinearMap } = await part(() => import('../model/linear-maps.ts'));
      const { plan, runner, gpu } = this.#live();
      const { config, weights } = runner.parts;
      const entries = checkLinearMaps(plan, config.hiddenSize, maps);
      this.#forget();
      await guardMemory(gpu, 'linear maps', () => {
        for (const [layer, map] of entries) installLinearMap(gpu, runner.ledger, weights, layer, map);
      });
    });
  }

  async #whole<T>(
    given: TokenIds,
    { modes }: WholeOptions,
    run: (runner: Runner, plan: Plan, tokenIds: readonly number[]) => Promise<T>,
  ): Promise<T> {
    this.#live();
    const tokenIds = idList(given);
    const ownPlan = modes && this.#planOf(modes);
    if (tokenIds.length === 0) throw new ShishuError('bad-argument', 'There are no tokens.');
    const { config, kv } = this.#parts.runner.parts;
    checkIds(tokenIds, config.vocabSize);
    const { context } = kv;
    if (tokenIds.length > context)
      throw new ShishuError(
        'context-full',
        `There are ${tokenIds.length} tokens, the context holds ${context}.`,
        {
          details: { tokens: tokenIds.length, limit: context },
          mend: 'Load the model with a larger contextLength, or use fewer tokens.',
        },
      );
    return this.#scheduler.alone(async () => {
      const parts = this.#live();
      try {
        const plan = ownPlan ?? this.#running.plan;
        const prefix = new PrefixCache();
        this.#scheduler.slots[0]!.prefix = prefix;
        await this.#ready(plan);
        const value = await run(parts.runner, plan, tokenIds);
        // A prompt that begins with this text need not run it again.
        prefix.append(tokenIds, plan);
        return value;
      } catch (error) {
        this.#live();
        throw await lossOr(parts.gpu, error);
      }
    });
  }

  /** How likely a text is: one prefill, positions 0 up. @throws ShishuError `bad-argument`, `context-full`. */
  score(tokenIds: TokenIds, options: WholeOptions = {}): Promise<Score> {
    return this.#whole(tokenIds, options, async (runner, plan, tokenIds) => {
      const { logprobs: next, top1 } = await scoreOf(runner, plan, tokenIds, options.signal);
      const logprobs = ofTokens(next);
      const total = logprobs.reduce((sum, value) => sum + value, 0);
      return { nll: tokenIds.length > 1 ? -total / (tokenIds.length - 1) : 0, logprobs, top1 };
    });
  }

  /** Logits of every position: `(tokens, vocab)` f32. */
  logits(tokenIds: TokenIds, options: WholeOptions = {}): Promise<Float32Array<ArrayBuffer>> {
    return this.#whole(tokenIds, options, (runner, plan, tokenIds) =>
      logitsOf(runner, plan, tokenIds, options.signal),
    );
  }

  /** Forgets the conversation: the next prompt is prefilled whole. */
  reset(): void {
    this.#live();
    this.#forget();
  }

  /** Nothing is cached of any sequence any more. */
  #forget(): void {
    for (const slot of this.#scheduler.slots) slot.prefix = new PrefixCache();
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
    // A reply that nobody reads on must not hold the others up.
    this.#scheduler.close();
    this.#scheduler = this.#schedule(parts);
    this.#changes = new Places(1);
    const kept = modes.filter(([layer, mode]) => mode !== 'linear' || linear.has(Number(layer)));
    await this.setModes(Object.fromEntries(kept));
  }

  /** Frees every byte on the GPU; a reply under way, and any later call, ends with a `disposed` error. Twice is no error. */
  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#scheduler.close();
    await this.#parts.gpu.device.queue.onSubmittedWorkDone().catch(() => undefined);
    free(this.#parts);
  }
}

function free({ runner, gpu }: ModelParts): void {
  runner.ledger.releaseAll();
  gpu.close();
}

import { ShishuError } from '../errors.ts';
import type { ChatTemplateOptions, ToolFormat } from '../formats/chat-template.ts';
import type { SourceLike } from '../formats/open-source.ts';
import type { ThoughtTags } from '../formats/reasoning.ts';
import { lossOr, throwIfLost } from '../gpu/device.ts';
import type { TunedKernels } from '../kernels/tuning.ts';
import { importModule, lazy } from '../lazy.ts';
import type { Plan } from '../model/spec.ts';
import { Adapters } from './adapters.ts';
import { generateReplies } from './generate.ts';
import { KernelTuning } from './kernel-tuning.ts';
import { infoOf } from './model-info.ts';
import type { EngineModel } from './model-interface.ts';
import { free, type ModelParts } from './model-parts.ts';
import { completeOrder, type ModeSetting, modesOf, type PruneOrder, planInModes } from './modes.ts';
import { checkOptions } from './options.ts';
import { Places } from './places.ts';
import { PrefixCache } from './prefix-cache.ts';
import { checkHead, idList, promptIds, wholeIds } from './prompt.ts';
import type { Runner } from './runner.ts';
import { Scheduler } from './scheduler.ts';
import type { Slot } from './sequence.ts';
import type { WholeCall } from './step.ts';
import type {
  AdapterInfo,
  AdapterOptions,
  BatchChunk,
  Embeddings,
  EmbedInput,
  EmbedOptions,
  GenerateChunk,
  GenerateOptions,
  GenerateResult,
  LinearMaps,
  Message,
  ModelInfo,
  Prompt,
  ReloadOptions,
  Score,
  TokenIds,
  WholeOptions,
} from './types.ts';

const scoring = () => importModule(() => import('./scoring.ts'));

/** A model that runs in this thread. As many replies run at once as it was loaded for (`batch`); others wait for those before. */
export class LocalModel implements EngineModel {
  #parts: ModelParts;
  #scheduler: Scheduler;
  #kernels: KernelTuning;
  /** Lets one change of modes at a time ask the GPU for memory. */
  #changes = new Places(1);
  readonly #reopen: (options: ReloadOptions) => Promise<ModelParts>;
  #reloading: Promise<void> | undefined;
  /** The plan that runs now, and what a token takes in it. */
  #running: { plan: Plan; dispatchesPerToken: number };
  #pruneOrder: PruneOrder | undefined;
  #adapters = new Adapters();
  #disposed = false;
  /** Makes constraints ready for use; the code for it is fetched with the first one. */
  readonly #masks = lazy(async () => {
    const { MaskCache } = await import('./mask-cache.ts');
    const { tokenizer, runner } = this.#parts;
    return new MaskCache(tokenizer, runner.parts.spec.vocabSize);
  });

  /** @internal `reopen` loads the same model once more. */
  constructor(parts: ModelParts, reopen: (options: ReloadOptions) => Promise<ModelParts>) {
    this.#parts = parts;
    this.#running = parts;
    this.#scheduler = this.#schedule(parts);
    this.#kernels = this.#tuning(parts);
    this.#reopen = reopen;
  }

  #schedule(parts: ModelParts): Scheduler {
    return new Scheduler(parts.runner, {
      ready: (plan) => this.#ready(plan),
      still: () => this.#still(parts),
    });
  }

  #tuning({ runner, tuning, warn }: ModelParts): KernelTuning {
    return new KernelTuning(runner, this.#scheduler, tuning, warn);
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

  get info(): ModelInfo {
    return infoOf(this.#live(), this.#running, this.#adapters.info, this.#kernels.from);
  }

  get hasChatTemplate(): boolean {
    return this.#live().tokenizer.hasChatTemplate;
  }

  get toolFormat(): ToolFormat | undefined {
    return this.#live().tokenizer.toolFormat;
  }

  get thoughtTags(): readonly ThoughtTags[] {
    return this.#live().tokenizer.thoughtTags;
  }

  get templateVariables(): readonly string[] {
    return this.#live().tokenizer.templateVariables;
  }

  async encode(text: string): Promise<number[]> {
    return this.#live().tokenizer.encode(text);
  }

  async decode(tokenIds: TokenIds): Promise<string> {
    return this.#live().tokenizer.decode(idList(tokenIds));
  }

  async applyChatTemplate(messages: readonly Message[], options: ChatTemplateOptions = {}): Promise<string> {
    return this.#live().tokenizer.applyChatTemplate(messages, options);
  }

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

  async *generateBatch(
    prompt: Prompt,
    n: number,
    options: GenerateOptions = {},
  ): AsyncGenerator<BatchChunk, GenerateResult[], undefined> {
    const parts = this.#live();
    const { runner } = parts;
    checkHead(runner.parts.spec);
    if (!Number.isInteger(n) || n < 1 || n > runner.sequences)
      throw new ShishuError('bad-argument', `${n} replies are asked for, the batch is ${runner.sequences}.`, {
        details: { replies: n, limit: runner.sequences },
        mend: 'Load the model with a larger batch.',
      });
    const checked = checkOptions(options, runner.parts.spec.vocabSize);
    const ownPlan = checked.modes && this.#planOf(checked.modes);
    const adapter = this.#adapters.find(checked.adapter);
    const promptTokenIds = promptIds(parts, prompt, checked);
    const masks = checked.constraint && (await this.#masks()).of(checked.constraint);
    this.#still(parts);
    try {
      return yield* generateReplies(
        { ...parts, scheduler: this.#scheduler, still: () => this.#still(parts) },
        {
          promptTokenIds,
          prompt,
          replies: n,
          options: checked,
          masks,
          plan: () => ownPlan ?? this.#running.plan,
          adapter,
        },
      );
    } finally {
      this.#kernels.begin(this.#running.plan);
    }
  }

  async tune(): Promise<TunedKernels> {
    this.#live();
    return this.#kernels.run(this.#running.plan);
  }

  /** The plan of a setting, by the model's own order and maps. */
  #planOf(setting: ModeSetting): Plan {
    const { plan, runner } = this.#live();
    return planInModes(plan, setting, this.#pruneOrder, runner.parts.weights.linear);
  }

  /** Makes what a plan lacks to run; nothing of it is freed until `then` has run. */
  async #ready(plan: Plan, then = async (_: Runner): Promise<void> => {}): Promise<void> {
    const release = await this.#changes.enter();
    try {
      const parts = this.#live();
      this.#still(parts);
      await parts.runner.ready(plan);
      await then(parts.runner);
    } finally {
      release();
    }
  }

  async setModes(setting: ModeSetting, { releaseKv = false }: { releaseKv?: boolean } = {}): Promise<void> {
    const plan = this.#planOf(setting);
    await this.#ready(plan, async (runner) => {
      const { length } = await runner.decodeDispatches(plan);
      this.#running = { plan, dispatchesPerToken: length };
    });
    if (releaseKv) await this.releaseUnusedKv();
  }

  async setPruneOrder(order: PruneOrder): Promise<void> {
    const { plan, runner } = this.#live();
    completeOrder(plan, order, runner.parts.weights.linear);
    this.#pruneOrder = order;
  }

  async releaseUnusedKv(): Promise<void> {
    await this.#scheduler.alone(async () => {
      // A change of modes may be making what this would free.
      const release = await this.#changes.enter();
      try {
        const gone = this.#live().runner.releaseUnusedKv(this.#running.plan);
        for (const { prefix } of this.#scheduler.slots) prefix.release(gone);
      } finally {
        release();
      }
    });
  }

  async setLinearMaps(maps: LinearMaps): Promise<void> {
    this.#live();
    const { checkLinearMaps, installLinearMaps } = await importModule(
      () => import('../model/linear-maps.ts'),
    );
    this.#live();
    await this.#scheduler.alone(async () => {
      const { plan, runner, gpu } = this.#live();
      const { spec, weights } = runner.parts;
      const entries = checkLinearMaps(plan, spec.hiddenSize, maps);
      this.#forget();
      await installLinearMaps(gpu, runner.ledger, weights, entries);
    });
  }

  async loadAdapter(source: SourceLike, options: AdapterOptions = {}): Promise<AdapterInfo> {
    const parts = this.#live();
    return this.#adapters.load(parts, source, options, (run, signal) =>
      this.#alone(0, signal, async () => {
        // A model that was loaded again is another.
        this.#still(parts);
        this.#scheduler.slots[0]!.prefix = new PrefixCache();
        await run(this.#running.plan);
      }),
    );
  }

  async unloadAdapter(name: string): Promise<void> {
    this.#live();
    this.#adapters.find(name);
    await this.#scheduler.alone(() => this.#adapters.unload(this.#live().runner, name));
  }

  async #whole<T>(
    given: TokenIds,
    { modes, signal, adapter: name }: WholeOptions,
    run: (runner: Runner, plan: Plan, tokenIds: readonly number[], call: WholeCall) => Promise<T>,
  ): Promise<T> {
    const tokenIds = wholeIds(this.#live().runner.parts, given);
    const adapter = this.#adapters.find(name);
    const ownPlan = modes && this.#planOf(modes);
    return this.#alone(1, signal, async (runner, [slot]) => {
      const { index: sequence, prefix } = slot!;
      const plan = ownPlan ?? this.#running.plan;
      await this.#ready(plan);
      runner.parts.adapters?.choose(sequence, adapter);
      const call = { sequence, signal, adapted: adapter !== undefined };
      const value = await run(runner, plan, tokenIds, call);
      // A prompt that begins with this text need not run it again.
      prefix.append(tokenIds, plan, adapter);
      return value;
    });
  }

  /** Runs alone, with up to `most` slots that hold nothing. */
  #alone<T>(
    most: number,
    signal: AbortSignal | undefined,
    run: (runner: Runner, slots: readonly Slot[]) => Promise<T>,
  ): Promise<T> {
    return this.#scheduler.alone(async () => {
      const { runner, gpu } = this.#live();
      try {
        return await run(runner, this.#scheduler.vacate(most));
      } catch (error) {
        this.#live();
        throw await lossOr(gpu, error);
      }
    }, signal);
  }

  score(tokenIds: TokenIds, options: WholeOptions = {}): Promise<Score> {
    return this.#whole(tokenIds, options, async (runner, plan, tokenIds, call) => {
      const { ofTokens, scoreOf } = await scoring();
      const { logprobs: next, top1 } = await scoreOf(runner, plan, tokenIds, call);
      const logprobs = ofTokens(next);
      const total = logprobs.reduce((sum, value) => sum + value, 0);
      return { nll: tokenIds.length > 1 ? -total / (tokenIds.length - 1) : 0, logprobs, top1 };
    });
  }

  logits(tokenIds: TokenIds, options: WholeOptions = {}): Promise<Float32Array<ArrayBuffer>> {
    return this.#whole(tokenIds, options, async (...call) => (await scoring()).logitsOf(...call));
  }

  async embed(input: EmbedInput, given: EmbedOptions = {}): Promise<Embeddings> {
    const parts = this.#live();
    const { checkEmbedOptions, embedTexts, pooledStates } = await importModule(
      () => import('./embedding.ts'),
    );
    const { modes, adapter: name, ...options } = checkEmbedOptions(given, parts.runner.parts.spec.hiddenSize);
    const { signal } = options;
    const plan = modes ? this.#planOf(modes) : this.#running.plan;
    this.#adapters.find(name);
    return embedTexts(parts, input, options, (texts) =>
      this.#alone(texts.length, signal, async (runner, slots) => {
        await this.#ready(plan);
        // Between two turns it may have gone.
        const adapter = this.#adapters.find(name);
        const sequences = slots.map(({ index }) => index);
        for (const sequence of sequences) runner.parts.adapters?.choose(sequence, adapter);
        return pooledStates(runner, plan, sequences, texts, { signal, adapted: adapter !== undefined });
      }),
    );
  }

  async reset(): Promise<void> {
    this.#live();
    this.#forget();
  }

  /** Nothing is cached of any sequence any more. */
  #forget(): void {
    for (const slot of this.#scheduler.slots) slot.prefix = new PrefixCache();
  }

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
    this.#kernels.end();
    this.#kernels = this.#tuning(parts);
    this.#changes = new Places(1);
    const adapters = this.#adapters.sources;
    this.#adapters = new Adapters();
    const kept = modes.filter(([layer, mode]) => mode !== 'linear' || linear.has(Number(layer)));
    await this.setModes(Object.fromEntries(kept));
    for (const [name, source] of adapters) await this.loadAdapter(source, { name });
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#kernels.end();
    this.#scheduler.close();
    const { device, readBack } = this.#parts.gpu;
    await readBack.told(device.queue.onSubmittedWorkDone()).catch(() => undefined);
    free(this.#parts);
  }
}

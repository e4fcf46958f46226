import { ShishuError } from '../errors.ts';
import type { ChatTemplateOptions, ToolFormat } from '../formats/chat-template.ts';
import type { ThoughtTags } from '../formats/reasoning.ts';
import { type TemplateVariables, unreadVariables } from '../formats/template-variables.ts';
import type { Tokenizer } from '../formats/tokenizer.ts';
import { type Gpu, lossOr, throwIfLost } from '../gpu/device.ts';
import type { Constraint, Masks } from '../grammar/constraint.ts';
import type { WeightDtype } from '../kernels/tensor.ts';
import { lazy } from '../lazy.ts';
import { checkLinearMaps, installLinearMaps } from '../model/linear-maps.ts';
import { kvBytesPerToken, type Plan, parameterCount } from '../model/spec.ts';
import { generateReplies } from './generate.ts';
import type { EngineModel } from './model-interface.ts';
import { completeOrder, type ModeSetting, modesOf, type PruneOrder, planInModes } from './modes.ts';
import { checkOptions } from './options.ts';
import { Places } from './places.ts';
import { PrefixCache } from './prefix-cache.ts';
import { checkIds, idList, promptIds } from './prompt.ts';
import { reasoningOf } from './reasoning.ts';
import type { Runner } from './runner.ts';
import { Scheduler } from './scheduler.ts';
import { logitsOf, ofTokens, scoreOf } from './scoring.ts';
import type {
  BatchChunk,
  GenerateChunk,
  GenerateOptions,
  GenerateResult,
  LinearMaps,
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
  warn: (message: string) => void;
}

/** A model that runs in this thread. As many replies run at once as it was loaded for (`batch`); others wait for those before. */
export class LocalModel implements EngineModel {
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
  readonly #warned = new Set<string>();
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

  get info(): ModelInfo {
    const { runner, plan, gpu, selfTest, dtype, f32Tensors } = this.#live();
    const { plan: running, dispatchesPerToken } = this.#running;
    const { spec, kv } = runner.parts;
    return {
      spec,
      plan,
      modes: modesOf(plan, running),
      parameters: parameterCount(spec),
      dtype,
      f32Tensors,
      kv: kv.dtype,
      kvBytesPerToken: kvBytesPerToken(spec, running, kv.dtype === 'f32' ? 4 : 2),
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

  get toolFormat(): ToolFormat | undefined {
    return this.#live().tokenizer.toolFormat;
  }

  get thoughtTags(): readonly ThoughtTags[] {
    return this.#live().tokenizer.thoughtTags;
  }

  get templateVariables(): readonly string[] {
    return this.#live().tokenizer.templateVariables;
  }

  /** Once for each set of names. */
  #warnOfUnread(variables: TemplateVariables = {}): void {
    const { tokenizer, warn } = this.#live();
    const names = Object.keys(variables).join();
    if (names === '' || this.#warned.has(names)) return;
    const warning = unreadVariables(variables, tokenizer.templateVariables);
    if (warning) warn(warning);
    this.#warned.add(names);
  }

  async encode(text: string): Promise<number[]> {
    return this.#live().tokenizer.encode(text);
  }

  async decode(tokenIds: TokenIds): Promise<string> {
    return this.#live().tokenizer.decode(idList(tokenIds));
  }

  async applyChatTemplate(messages: readonly Message[], options: ChatTemplateOptions = {}): Promise<string> {
    const text = this.#live().tokenizer.applyChatTemplate(messages, options);
    this.#warnOfUnread(options.templateVariables);
    return text;
  }

  /** A constraint, ready for use; the code for it is fetched with the first one. */
  async #masksOf(constraint: Constraint): Promise<Masks> {
    return (await this.#masks()).of(constraint);
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
    if (!Number.isInteger(n) || n < 1 || n > runner.sequences)
      throw new ShishuError('bad-argument', `${n} replies are asked for, the batch is ${runner.sequences}.`, {
        details: { replies: n, limit: runner.sequences },
        mend: 'Load the model with a larger batch.',
      });
    const checked = checkOptions(options, runner.parts.spec.vocabSize);
    const ownPlan = checked.modes && this.#planOf(checked.modes);
    const promptTokenIds = promptIds(parts, prompt, checked);
    const reasoning = reasoningOf(parts.tokenizer, prompt, promptTokenIds, checked);
    this.#warnOfUnread(checked.templateVariables);
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
        reasoning,
        plan: () => ownPlan ?? this.#running.plan,
      },
    );
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
    await this.#scheduler.alone(async () => {
      const { plan, runner, gpu } = this.#live();
      const { spec, weights } = runner.parts;
      const entries = checkLinearMaps(plan, spec.hiddenSize, maps);
      this.#forget();
      await installLinearMaps(gpu, runner.ledger, weights, entries);
    });
  }

  async #whole<T>(
    given: TokenIds,
    { modes, signal }: WholeOptions,
    run: (runner: Runner, plan: Plan, tokenIds: readonly number[]) => Promise<T>,
  ): Promise<T> {
    this.#live();
    const tokenIds = idList(given);
    const ownPlan = modes && this.#planOf(modes);
    if (tokenIds.length === 0) throw new ShishuError('bad-argument', 'There are no tokens.');
    const { spec, kv } = this.#parts.runner.parts;
    checkIds(tokenIds, spec.vocabSize);
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
    }, signal);
  }

  score(tokenIds: TokenIds, options: WholeOptions = {}): Promise<Score> {
    return this.#whole(tokenIds, options, async (runner, plan, tokenIds) => {
      const { logprobs: next, top1 } = await scoreOf(runner, plan, tokenIds, options.signal);
      const logprobs = ofTokens(next);
      const total = logprobs.reduce((sum, value) => sum + value, 0);
      return { nll: tokenIds.length > 1 ? -total / (tokenIds.length - 1) : 0, logprobs, top1 };
    });
  }

  logits(tokenIds: TokenIds, options: WholeOptions = {}): Promise<Float32Array<ArrayBuffer>> {
    return this.#whole(tokenIds, options, (runner, plan, tokenIds) =>
      logitsOf(runner, plan, tokenIds, options.signal),
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
    this.#changes = new Places(1);
    const kept = modes.filter(([layer, mode]) => mode !== 'linear' || linear.has(Number(layer)));
    await this.setModes(Object.fromEntries(kept));
  }

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

import type { TokenConstraint } from '../grammar/constraint.ts';
import type { Logprobs } from '../kernels/logprobs.ts';
import type { LoadedAdapter } from '../model/adapters.ts';
import type { Ring } from '../model/kvcache.ts';
import type { Plan } from '../model/spec.ts';
import type { CheckedOptions } from './options.ts';
import { PrefixCache } from './prefix-cache.ts';
import type { SamplingKind } from './sampler.ts';

/** Sampled tokens that may wait for their reader before the sequence pauses. */
const MOST_UNREAD = 16;

/** The K and V of one sequence at a time. */
export interface Slot {
  /** Of the KV cache. */
  readonly index: number;
  /** What is cached, also between sequences; a reset puts another in its place. */
  prefix: PrefixCache;
  /** When it was last taken, as a count. */
  taken: number;
}

/** A token as it was sampled. */
export interface SampledToken {
  tokenId: number;
  /** Pairs of the likeliest tokens, then the token itself. */
  logprobs: Logprobs[number] | undefined;
}

export interface SequenceOptions {
  promptTokenIds: readonly number[];
  options: CheckedOptions;
  /** Which of a call's replies it is. */
  reply: number;
  /** Token ids that end it. */
  enders: ReadonlySet<number>;
  /** Most tokens that are sampled. */
  limit: number;
  constraint: TokenConstraint | undefined;
  /** The plan that it is to run in: it may change between two tokens. */
  plan: () => Plan;
  adapter?: LoadedAdapter | undefined;
}

function kindOf(options: CheckedOptions, mask: boolean): SamplingKind {
  const bias = options.logitBias.size > 0;
  return {
    greedy: options.temperature === 0,
    adjusted:
      mask ||
      bias ||
      options.repetitionPenalty !== 1 ||
      options.frequencyPenalty !== 0 ||
      options.presencePenalty !== 0,
    bias,
    mask,
    top: options.top,
  };
}

/** A text that grows by a token a step: what is known of it, how far it ran, and what nobody has read of it yet. */
export class Sequence {
  readonly reply: number;
  readonly limit: number;
  readonly kind: SamplingKind;
  readonly sampler: CheckedOptions;
  readonly constraint: TokenConstraint | undefined;
  readonly adapter: LoadedAdapter | undefined;
  /** The prompt, then what was sampled. */
  readonly tokens: number[];
  readonly promptLength: number;
  readonly unread: SampledToken[] = [];
  /** From its admission until it leaves. */
  slot: Slot | undefined;
  /** What is cached of it. */
  prefix = new PrefixCache();
  /** What it runs in since it last began; undefined before. */
  plan: Plan | undefined;
  /** Counts its beginnings: steps of an earlier one are not its own any more. */
  beginning = 0;
  /** Tokens that steps have run, or will have when they are done. */
  computed = 0;
  /** Steps under way that sample a token of it. */
  inFlight = 0;
  /** A sequence with the same prompt, whose K and V it is given. */
  parent: Sequence | undefined;
  /** What it was given, until it begins. */
  given: PrefixCache | undefined;
  /** Those that wait for this one's prompt. */
  children: readonly Sequence[] = [];
  /** Step in which it ran last, as a count. */
  lastStep = 0;
  /** Nothing is left to sample. */
  ended = false;
  error: unknown;
  /** Prompt tokens that need not run, of its first beginning. */
  cachedTokens: number | undefined;
  readonly #enders: ReadonlySet<number>;
  readonly #plan: () => Plan;
  /** Tokens that were known when it last began. */
  #counted = 0;
  #paused = false;
  /** Tokens that go behind what was read when it next begins. */
  #put: readonly number[] = [];

  constructor({ promptTokenIds, options, reply, enders, limit, constraint, plan, adapter }: SequenceOptions) {
    this.tokens = [...promptTokenIds];
    this.promptLength = promptTokenIds.length;
    this.reply = reply;
    this.limit = limit;
    this.sampler = { ...options, seed: options.seed + reply };
    this.kind = kindOf(options, constraint !== undefined);
    this.constraint = constraint;
    this.adapter = adapter;
    this.#enders = enders;
    this.#plan = plan;
  }

  /** The plan that it is to run in. */
  get wantedPlan(): Plan {
    return this.#plan();
  }

  /** The plan has changed, or tokens were put in: what was sampled and not read is to be sampled anew. */
  get stale(): boolean {
    return this.plan !== undefined && (this.plan !== this.wantedPlan || this.#put.length > 0);
  }

  /** Puts tokens behind those that were read, in place of what was sampled after them. */
  put(tokenIds: readonly number[]): void {
    this.#put = [...this.#put, ...tokenIds];
  }

  /** Tokens that are to run before the next is sampled; but the last of a prompt that others share. */
  get rest(): number {
    return this.tokens.length - this.computed - (this.children.length > 0 ? 1 : 0);
  }

  /** Whether a step can take it further; one with much that is unread pauses until all has been read. */
  canRun(): boolean {
    const ahead = this.unread.length + this.inFlight;
    if (ahead >= MOST_UNREAD) this.#paused = true;
    else if (this.unread.length === 0) this.#paused = false;
    const sampled = this.tokens.length - this.promptLength + this.inFlight;
    return (
      // It may have been admitted since those before began.
      this.plan !== undefined &&
      !this.ended &&
      this.error === undefined &&
      !this.parent &&
      !this.#paused &&
      sampled < this.limit &&
      // What a constraint allows next is known once the token before has been read.
      (!this.constraint || ahead === 0)
    );
  }

  /** Begins, or begins anew in another plan: what was read is known, and need not run where it is cached. */
  begin(plan: Plan, rings?: ReadonlyMap<number, Ring>): void {
    this.tokens.length -= this.unread.length;
    this.unread.length = 0;
    this.tokens.push(...this.#put);
    this.#put = [];
    this.#counted = this.tokens.length;
    this.ended = false;
    this.inFlight = 0;
    this.beginning++;
    this.plan = plan;
    this.prefix = this.given ?? this.slot!.prefix;
    this.given = undefined;
    this.computed = this.prefix.reusable(this.tokens, plan, rings, this.adapter);
    this.cachedTokens ??= Math.min(this.computed, this.promptLength);
    // Until it has run, only what it keeps is sure.
    this.prefix.truncate(this.computed);
  }

  /** Its last token was sampled since it began: the GPU counts it when it runs. */
  get uncounted(): boolean {
    return this.tokens.length > this.#counted;
  }

  /** Tokens up to `end` have run. */
  ran(end: number): void {
    this.prefix.append(this.tokens.slice(this.prefix.length, end), this.plan!, this.adapter);
  }

  /** Takes a token in that was sampled. */
  add(tokenId: number, logprobs: Logprobs[number] | undefined): void {
    this.inFlight--;
    this.tokens.push(tokenId);
    const { top } = this.kind;
    const own = top === undefined ? undefined : logprobs && [...logprobs.slice(0, top), logprobs.at(-1)!];
    this.unread.push({ tokenId, logprobs: own });
    this.ended = this.#enders.has(tokenId) || this.tokens.length - this.promptLength >= this.limit;
  }

  /** How often each token of the vocabulary was sampled, twice, and one more for those of the prompt. */
  counts(vocabSize: number): Uint32Array {
    const counts = new Uint32Array(this.kind.adjusted ? vocabSize : 0);
    if (!this.kind.adjusted) return counts;
    for (const [i, id] of this.tokens.entries())
      if (i < this.promptLength) counts[id] = 1;
      else counts[id]! += 2;
    return counts;
  }

  /** What is added to logits; undefined for nothing. */
  bias(vocabSize: number): Float32Array | undefined {
    if (!this.kind.bias) return undefined;
    const bias = new Float32Array(vocabSize);
    for (const [id, add] of this.sampler.logitBias) bias[id] = add;
    return bias;
  }
}

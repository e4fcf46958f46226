import type { LoadedAdapter } from '../model/adapters.ts';
import { type Ring, readsRing } from '../model/kvcache.ts';
import type { Block, Plan } from '../model/spec.ts';

/** Positions that ran in one plan, up to `end`; they begin where the run before ends. */
interface Run {
  end: number;
  plan: Plan;
  /** Layers whose K and V of these positions are in their buffers. */
  layers: ReadonlySet<number>;
  /** The adapter that they ran with. */
  adapter: LoadedAdapter | undefined;
}

/** How much of a block is there: modes go down from attention over linear to nothing. */
const RANK = { mlp: 0, linear: 1, attention: 2, conv: 2 } as const satisfies Record<Block['kind'], number>;

const attending = (plan: Plan): number[] => plan.flatMap((b) => (b.kind === 'attention' ? [b.layer] : []));

const NO_RINGS: ReadonlyMap<number, Ring> = new Map();

const sameModes = (a: Plan, b: Plan): boolean => a.every(({ kind }, i) => kind === b[i]!.kind);

/** Every block of the plan is at or below what the run had, and its K and V are there. */
const covers = (run: Run, plan: Plan): boolean =>
  plan.every(
    ({ kind, layer }, i) =>
      RANK[run.plan[i]!.kind] >= RANK[kind] && (kind !== 'attention' || run.layers.has(layer)),
  );

/**
 * The tokens of one sequence whose K and V are in the cache, from position 0, and the modes that each ran in. K and V of a
 * block hold for the modes of the blocks below it, so they are told apart by modes:
 *
 * - **Down.** Where every cached position ran in modes at or above the wanted ones in every block (attention > linear >
 *   skip), all are kept. Later tokens attend to K and V that fuller modes made; logits are those of a forward in which each
 *   position runs in its own modes.
 * - **Up.** Where any block of any cached position is below the wanted mode, or its K and V were released, only the longest
 *   beginning that ran in exactly the wanted modes is kept. What follows runs anew, so logits are those of a fresh run.
 *
 * K and V hold for the adapter that they were computed with, and for no other.
 *
 * Either way, a block that attends finds K and V of every position before: a slot that was not written is never read.
 *
 * A block with a window may keep its last positions only, as a short convolution and a map of several inputs do, in a ring: position p takes the place of
 * p - capacity, also where the step that wrote it is thrown away. What follows position p runs only where the window before it
 * has kept its place in every ring of the plan; else all runs anew, for what the window lacks was itself made of windows before it.
 */
export class PrefixCache {
  readonly #tokens: number[];
  #runs: Run[];
  /** Positions that were written since the text began, also by steps that were thrown away. */
  #written: number;

  constructor(tokens: readonly number[] = [], runs: readonly Run[] = [], written = 0) {
    this.#tokens = [...tokens];
    this.#runs = runs.map((run) => ({ ...run }));
    this.#written = written;
  }

  /** Positions that are cached. */
  get length(): number {
    return this.#tokens.length;
  }

  /** For a sequence that is given this one's K and V. */
  copy(): PrefixCache {
    return new PrefixCache(this.#tokens, this.#runs, this.#written);
  }

  /** Positions of a text that need not run under a plan; its last token always runs, for its logits. */
  reusable(
    tokens: readonly number[],
    plan: Plan,
    rings: ReadonlyMap<number, Ring> = NO_RINGS,
    adapter?: LoadedAdapter,
  ): number {
    let same = 0;
    const most = Math.min(tokens.length - 1, this.#tokens.length);
    while (same < most && tokens[same] === this.#tokens[same]) same++;
    let exact = 0;
    let above = true;
    for (let i = 0, start = 0; start < same; start = this.#runs[i++]!.end) {
      const run = this.#runs[i]!;
      const covered = run.adapter === adapter && covers(run, plan);
      above &&= covered;
      if (exact === start && covered && sameModes(run.plan, plan)) exact = Math.min(same, run.end);
    }
    const length = above ? same : exact;
    return this.#hasWindow(length, plan, rings) ? length : 0;
  }

  /** Whether the rings that a plan reads have what a token at this position sees before it. */
  #hasWindow(position: number, plan: Plan, rings: ReadonlyMap<number, Ring>): boolean {
    for (const [layer, ring] of rings)
      if (
        readsRing(plan[layer]!.kind, ring) &&
        Math.max(0, position + 1 - ring.window) < this.#written - ring.capacity
      )
        return false;
    return true;
  }

  /** Positions up to `end` are written, whether or not their step will count. */
  wrote(end: number): void {
    this.#written = Math.max(this.#written, end);
  }

  /** Forgets the positions from `length` on. */
  truncate(length: number): void {
    if (length === 0) this.#written = 0;
    this.#tokens.length = Math.min(this.#tokens.length, length);
    this.#runs = this.#runs.filter((_, i) => (this.#runs[i - 1]?.end ?? 0) < length);
    const last = this.#runs.at(-1);
    if (last) this.#runs.splice(-1, 1, { ...last, end: Math.min(last.end, length) });
  }

  /** Tokens that ran in a plan, behind those that are cached. */
  append(tokens: readonly number[], plan: Plan, adapter?: LoadedAdapter): void {
    if (tokens.length === 0) return;
    for (const token of tokens) this.#tokens.push(token);
    this.wrote(this.#tokens.length);
    const last = this.#runs.at(-1);
    const layers = attending(plan);
    if (
      last &&
      last.adapter === adapter &&
      sameModes(last.plan, plan) &&
      layers.every((layer) => last.layers.has(layer))
    )
      last.end = this.#tokens.length;
    else this.#runs.push({ end: this.#tokens.length, plan, layers: new Set(layers), adapter });
  }

  /** K and V of these layers are gone. */
  release(layers: readonly number[]): void {
    const gone = new Set(layers);
    this.#runs = this.#runs.map((run) => ({
      ...run,
      layers: new Set([...run.layers].filter((layer) => !gone.has(layer))),
    }));
  }
}

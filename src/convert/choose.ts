// Which blocks lose their attention: one by one, each time the one whose loss costs least with its map in place.
import type { Runner } from '../engine/runner.ts';
import { ShishuError, throwIfAborted } from '../errors.ts';
import { guardMemory } from '../gpu/buffer.ts';
import type { Mode } from '../model/prune.ts';
import type { Plan } from '../model/spec.ts';
import { hashOf } from '../train/random.ts';
import { prunedModel } from './calibrate.ts';
import { type Recall, type RecallList, recallOf } from './recall.ts';
import { aboveAll, beforeMixer, keepStates, Stack, type States } from './stack.ts';
import { countTokens, type TokenWindows } from './windows.ts';

/** What a model does on the text and the lists by which blocks are chosen. */
export interface Measure {
  /** Mean nats of a token of the text. */
  nats: number;
  recall: Recall | undefined;
}

/** What counts as cost: nats of the text over the parent's times one, nats of the lists' second time times the other. */
export interface ChoiceWeights {
  nats: number;
  recall: number;
}

export const WEIGHTS: ChoiceWeights = { nats: 1, recall: 0.1 };

/** What was measured, by layers without attention: what a run that was stopped goes on from. */
export interface ChoiceNotes {
  /** Of which model, text and way of choosing; measures of others are of no use. */
  about: string;
  measured: Record<string, Measure>;
}

export interface ChooseOptions {
  /** How the blocks run that lose their attention; `linear` asks for maps that are on the GPU. */
  mode: Exclude<Mode, 'attention'>;
  /** How many lose it, */
  count?: number | undefined;
  /** or how much perplexity may rise on the text, as a share: as many as it allows. */
  within?: number | undefined;
  weights?: ChoiceWeights | undefined;
  /** Most blocks that are measured before each choice but the first (default 6): those that cost least when last measured. */
  among?: number | undefined;
  /** Most bytes of hidden states that are kept (default 256 MiB): with fewer than each block asks for, more runs anew. */
  budget?: number | undefined;
  /** What an earlier run has measured. */
  notes?: ChoiceNotes | undefined;
  /** What tells models and maps apart, of whose measures `notes` may be. */
  about?: string | undefined;
  /** Called with each new measure, to be kept. */
  onMeasured?: ((notes: ChoiceNotes) => Promise<void> | void) | undefined;
  onChosen?: ((chosen: ChosenBlock, parent: Measure) => void) | undefined;
  /** Forward passes over text and lists that were run, and that are foreseen in all. */
  onProgress?: ((done: number, total: number) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** A block that was chosen, and the model's measure without it and all chosen before. */
export interface ChosenBlock extends Measure {
  layer: number;
}

export interface Choice {
  parent: Measure;
  /** In the order in which they were chosen. */
  chosen: ChosenBlock[];
  /** Every attention block: the chosen ones, then the others by what they cost when last measured. */
  order: number[];
  /** Tokens of text and lists. */
  tokens: number;
  /** Blocks that were run over them, as forward passes of the model: blocks run, over blocks of the model. */
  passes: number;
}

/** Nats of a model whose sums are no numbers: never chosen while there are others. */
const NEVER = 1e9;
const AMONG = 6;
const BUDGET = 256 * 2 ** 20;

/**
 * Chooses blocks of a plan one by one. First each is measured alone; then, before each choice, the best few together with those
 * that are chosen. Hidden states below the lowest change are kept, so that a block costs those above it only.
 * @param windows of text that nothing was fitted to
 */
export async function chooseBlocks(
  runner: Runner,
  plan: Plan,
  windows: TokenWindows,
  lists: readonly RecallList[],
  options: ChooseOptions,
): Promise<Choice> {
  const { count = Infinity, within = Infinity, among = AMONG, weights = WEIGHTS, onChosen } = options;
  const layers = plan.filter(({ kind }) => kind === 'attention').map(({ layer }) => layer);
  const most = Math.min(count, layers.length);
  const measuring = await Measuring.make(runner, plan, windows, lists, options, most);
  try {
    const parent = await measuring.of([]);
    const cost = ({ nats, recall }: Measure): number =>
      weights.nats * (nats - parent.nats) +
      (recall && parent.recall ? weights.recall * (recall.nats - parent.recall.nats) : 0);
    /** What each block added to the cost when it was last measured. */
    const latest = new Map<number, number>();
    const chosen: ChosenBlock[] = [];
    const byCost = (): number[] =>
      layers
        .filter((layer) => chosen.every((block) => block.layer !== layer))
        .sort((a, b) => (latest.get(a) ?? 0) - (latest.get(b) ?? 0));
    let spent = 0;
    while (chosen.length < most) {
      const before = chosen.map(({ layer }) => layer);
      let best: ChosenBlock | undefined;
      for (const layer of byCost().slice(0, chosen.length === 0 ? layers.length : among)) {
        const measure = await measuring.of(before, layer);
        latest.set(layer, cost(measure) - spent);
        if (!best || cost(measure) < cost(best)) best = { layer, ...measure };
      }
      if (!best || best.nats - parent.nats > Math.log1p(within)) break;
      chosen.push(best);
      spent = cost(best);
      onChosen?.(best, parent);
    }
    return {
      parent,
      chosen,
      order: [...chosen.map(({ layer }) => layer), ...byCost()],
      tokens: measuring.tokens,
      passes: measuring.passes,
    };
  } finally {
    measuring.close();
  }
}

/** A choice for people: what is lost behind each block. */
export function choiceText(way: string, { parent, chosen, tokens, passes }: Choice): string {
  const each = chosen.map(({ layer, nats, recall }) => {
    const words = recall && parent.recall ? `, recall ${recall.accuracy.toFixed(2)}` : '';
    return `${layer} (${percentOf(nats - parent.nats)}${words})`;
  });
  const recall = parent.recall ? `, recall ${parent.recall.accuracy.toFixed(2)}` : '';
  return (
    `Chosen one by one, ${way}: ${each.join(', ')}; the parent: perplexity ${Math.exp(parent.nats).toFixed(3)}${recall}. ` +
    `Blocks were run as often as in ${passes.toFixed(1)} forward passes over ${tokens} tokens.`
  );
}

const percentOf = (nats: number): string => `${nats < 0 ? '' : '+'}${(100 * Math.expm1(nats)).toFixed(1)} %`;

const keyOf = (layers: readonly number[]): string => [...layers].sort((a, b) => a - b).join(' ');

/** Measures the model without some blocks, from hidden states of the model without those that are chosen. */
class Measuring {
  readonly tokens: number;
  readonly #runner: Runner;
  readonly #plan: Plan;
  readonly #texts: number;
  readonly #lists: readonly RecallList[];
  readonly #options: ChooseOptions;
  readonly #stack: Stack;
  readonly #notes: ChoiceNotes;
  /** Of each window, the states that are kept, lowest first. */
  readonly #kept: { ids: readonly number[]; states: States[] }[] = [];
  /** What they are of; undefined before they are made. */
  #chosen: readonly number[] | undefined;
  readonly #foreseen: number;

  constructor(
    runner: Runner,
    plan: Plan,
    windows: TokenWindows,
    lists: readonly RecallList[],
    options: ChooseOptions,
    most: number,
  ) {
    this.#runner = runner;
    this.#plan = plan;
    this.#texts = windows.length;
    this.#lists = lists;
    this.#options = options;
    this.#stack = new Stack(runner);
    const all = [...windows, ...lists.map(({ ids }) => ids)];
    const about = String(hashOf(JSON.stringify([options.about, options.mode, all])));
    this.#notes = options.notes?.about === about ? options.notes : { about, measured: {} };
    this.tokens = countTokens(all);
    for (const ids of all) this.#kept.push({ ids, states: [] });
    const layers = plan.filter(({ kind }) => kind === 'attention').length;
    const { among = AMONG } = options;
    // The parent, each block alone, and half of the stack for each that is measured later and for the states that change.
    this.#foreseen = 1 + (layers + 1) / 2 + Math.max(0, most - 1) * ((1 + Math.min(among, layers)) / 2);
  }

  static async make(...args: ConstructorParameters<typeof Measuring>): Promise<Measuring> {
    const measuring = new Measuring(...args);
    try {
      await measuring.#allocate();
      return measuring;
    } catch (error) {
      measuring.close();
      throw error;
    }
  }

  async #allocate(): Promise<void> {
    const { parts, ledger } = this.#runner;
    const { budget = BUDGET } = this.#options;
    const layers = this.#plan.filter(({ kind }) => kind === 'attention').map(({ layer }) => layer);
    const bytes = layers.length * this.tokens * this.#stack.stateBytes;
    const every = Math.max(1, Math.ceil(bytes / budget));
    await guardMemory(parts.gpu, 'hidden states of the text by which blocks are chosen', () => {
      for (const { ids, states } of this.#kept)
        for (let i = 0; i < layers.length; i += every) {
          const buffer = ledger.storage('kept states', ids.length * this.#stack.stateBytes, 'scratch');
          states.push({ place: beforeMixer(layers[i]!), buffer });
        }
    });
  }

  close(): void {
    this.#stack.close();
    for (const { states } of this.#kept) for (const { buffer } of states) this.#runner.ledger.release(buffer);
  }

  /** Blocks that were run, as forward passes. */
  get passes(): number {
    return this.#stack.blockTokens / (this.#plan.length * this.tokens);
  }

  #planWithout(layers: readonly number[]): Plan {
    return prunedModel({ plan: this.#plan, runner: this.#runner }, layers, this.#options.mode).plan;
  }

  /** @param layer lost besides those that are chosen already, of which the last may be new */
  async of(chosen: readonly number[], layer?: number): Promise<Measure> {
    const lost = layer === undefined ? chosen : [...chosen, layer];
    const { measured } = this.#notes;
    const key = keyOf(lost);
    const known = measured[key];
    if (known) return known;
    await this.#keep(chosen);
    const measure = await this.#measure(lost, layer);
    measured[key] = measure;
    await this.#options.onMeasured?.(this.#notes);
    return measure;
  }

  /** Makes the kept states those of the model without these blocks: anew above the lowest change. */
  async #keep(chosen: readonly number[]): Promise<void> {
    const before = this.#chosen;
    if (before && keyOf(before) === keyOf(chosen)) return;
    const changed = chosen.filter((layer) => !before?.includes(layer));
    const from = before ? beforeMixer(Math.min(...changed)) : undefined;
    this.#chosen = undefined;
    const plan = this.#planWithout(chosen);
    for (const { ids, states } of this.#kept) {
      throwIfAborted(this.#options.signal);
      const begin = from === undefined ? undefined : states.findLast(({ place }) => place <= from);
      const above = states.filter(({ place }) => place > (begin?.place ?? -1));
      const last = above.at(-1);
      if (!last) continue;
      await this.#stack.run(ids, plan, {
        from: begin,
        to: last.place,
        places: above.map(({ place }) => place),
        hook: (point) =>
          keepStates(this.#runner.parts, point, above.find(({ place }) => place === point.place)!.buffer),
      });
      this.#tell();
    }
    this.#chosen = chosen;
  }

  async #measure(lost: readonly number[], layer: number | undefined): Promise<Measure> {
    const plan = this.#planWithout(lost);
    // With nothing lost besides, what is kept at the top of all will do.
    const limit = layer === undefined ? aboveAll(plan) : beforeMixer(layer);
    const scores = [];
    for (const { ids, states } of this.#kept) {
      throwIfAborted(this.#options.signal);
      const from = states.findLast(({ place }) => place <= limit);
      scores.push(await this.#stack.score(ids, plan, { from }));
      this.#tell();
    }
    let [nats, tokens] = [0, 0];
    for (const { logprobs } of scores.slice(0, this.#texts)) {
      // The last row scores a token behind the window.
      for (let i = 0; i < logprobs.length - 1; i++) nats -= logprobs[i]!;
      tokens += logprobs.length - 1;
    }
    const recall = this.#lists.length > 0 ? recallOf(this.#lists, scores.slice(this.#texts)) : undefined;
    const measure: Measure = { nats: nats / tokens, recall };
    if (lost.length === 0 && !Number.isFinite(measure.nats))
      throw new ShishuError('bad-argument', `The model's nats are ${measure.nats}.`, {
        details: { nats: measure.nats },
        mend: 'Its weights hold NaN or infinite values, or overflow on the way: check them, or convert from an F32 copy.',
      });
    return Number.isFinite(measure.nats) ? measure : { ...measure, nats: NEVER };
  }

  #tell(): void {
    const done = this.passes;
    this.#options.onProgress?.(done, Math.max(done, this.#foreseen));
  }
}

import { throwIfAborted } from '../errors.ts';
import type { Plan } from '../model/spec.ts';
import { clearNote, overflowOf } from './kv-range.ts';
import { LEAST_IN_FLIGHT } from './pace.ts';
import { Places } from './places.ts';
import { PrefixCache } from './prefix-cache.ts';
import type { Runner } from './runner.ts';
import { GREEDY, kindOfAll, type Sampled } from './sampler.ts';
import type { SampledToken, Sequence, Slot } from './sequence.ts';
import { planKey, type Row, type SampledRow } from './step.ts';

/** What a step under way does for a sequence. */
interface Share {
  sequence: Sequence;
  /** The sequence's, when the step was submitted. */
  beginning: number;
  /** Tokens of the sequence that have run when the step is done. */
  end: number;
  /** Where the token after them is among those sampled; undefined where none is. */
  place: number | undefined;
}

interface Flight {
  done: Promise<Sampled>;
  shares: readonly Share[];
}

/** An empty slot comes first, then the one that was not taken for longest. */
const emptiest = (a: Slot, b: Slot): number =>
  Math.min(a.prefix.length, 1) - Math.min(b.prefix.length, 1) || a.taken - b.taken;

/** What the scheduler asks of the model. */
export interface SchedulerHost {
  /** Makes what a plan lacks to run. */
  ready(plan: Plan): Promise<void>;
  /** @throws ShishuError `disposed`, `device-lost` */
  still(): void;
}

/**
 * Takes turns: a step runs the next token of every sequence that decodes, and chunks of the prompts of those that do not yet.
 * Steps run when somebody asks for a token, so that nothing runs ahead of all readers; whoever asks meanwhile gets the same step.
 */
export class Scheduler {
  readonly slots: readonly Slot[];
  readonly #runner: Runner;
  readonly #host: SchedulerHost;
  readonly #places: Places;
  readonly #free: Set<Slot>;
  readonly #leave = new Map<Sequence, () => void>();
  /** Those whose next tokens the GPU has, in the order of the next step's rows. */
  #next: Sequence[] = [];
  /** One of those has begun anew: what the GPU has of it is not its next token. */
  #outdated = false;
  /** Steps that are submitted, the oldest first. */
  readonly #flying: Flight[] = [];
  #turn: Promise<boolean> | undefined;
  #steps = 0;
  #admissions = 0;

  constructor(runner: Runner, host: SchedulerHost) {
    this.#runner = runner;
    this.#host = host;
    this.slots = Array.from({ length: runner.sequences }, (_, index) => ({
      index,
      prefix: new PrefixCache(),
      taken: 0,
    }));
    this.#free = new Set(this.slots);
    this.#places = new Places(runner.sequences);
  }

  /**
   * Waits until there are slots for the sequences, which have one prompt: it runs once. The first gets the slot with the
   * longest beginning of it, where that is worth more than what else is there.
   * @throws ShishuError `aborted`, `disposed`, `device-lost`
   */
  async admit(sequences: readonly Sequence[], signal?: AbortSignal): Promise<void> {
    const leave = await this.#places.enter(sequences.length, signal);
    const [first, ...others] = sequences;
    try {
      this.#host.still();
      await this.#runner.sampler.prepare(first!.kind);
      this.#host.still();
    } catch (error) {
      leave();
      throw error;
    }
    first!.slot = this.#takeSlot(this.#worthOf(first!));
    first!.children = others;
    for (const other of others) {
      other.slot = this.#takeSlot(() => 0);
      other.parent = first;
    }
    for (const sequence of sequences) this.#leave.set(sequence, () => leave(1));
  }

  /**
   * What a slot has of a sequence's text: nothing where more of another would be lost, which begins alike, as chats with one
   * system prompt do. Where no slot is empty, one that has most of the text counts too.
   */
  #worthOf({ tokens, wantedPlan, adapter }: Sequence): (slot: Slot) => number {
    const full = [...this.#free].every(({ prefix }) => prefix.length > 0);
    return ({ prefix }) => {
      const cached = prefix.reusable(tokens, wantedPlan, this.#runner.parts.kv.rings, adapter);
      const whole = full ? Math.min(prefix.length, tokens.length) : prefix.length;
      return 2 * cached >= whole ? cached : 0;
    };
  }

  /** Takes the free slot of the highest worth; of equals the emptiest. */
  #takeSlot(worth: (slot: Slot) => number): Slot {
    const [slot] = [...this.#free].sort((a, b) => worth(b) - worth(a) || emptiest(a, b));
    this.#free.delete(slot!);
    slot!.taken = ++this.#admissions;
    return slot!;
  }

  /** Empties slots for what runs alone, up to `most`: the emptiest first, so that chats keep what is cached of them. */
  vacate(most: number): Slot[] {
    const slots = [...this.slots].sort(emptiest).slice(0, most);
    for (const slot of slots) slot.prefix = new PrefixCache();
    return slots;
  }

  /** Gives a sequence's slot back; what is cached stays. Twice is no error. */
  leave(sequence: Sequence): void {
    const leave = this.#leave.get(sequence);
    if (!leave) return;
    this.#leave.delete(sequence);
    this.#free.add(sequence.slot!);
    sequence.slot = undefined;
    leave();
  }

  /**
   * Waits for those before it, and runs while no sequence has a slot and no step is under way: what uses the runner itself, and what
   * changes weights or frees buffers.
   * @throws ShishuError `aborted`, `disposed`, `device-lost`
   */
  async alone<T>(run: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const leave = await this.#places.enter(undefined, signal);
    try {
      // Whoever was aborted has left, and its step may not be submitted yet.
      await this.#turn;
      while (await this.#settle());
      // A model that was lost is loaded again beside this one: whoever is let in now would not be alone there.
      this.#host.still();
      return await run();
    } finally {
      leave();
    }
  }

  /**
   * As `alone`, for what can wait: whoever comes before it is idle goes first.
   * @throws ShishuError `disposed`, `device-lost`
   */
  async whenIdle<T>(run: () => Promise<T>): Promise<T> {
    await this.#places.idle();
    return this.alone(run);
  }

  /** Nobody waits any more: the model is gone. */
  close(): void {
    this.#places.close();
  }

  /**
   * The next token of a sequence, given to `take` before any other step is made: a constraint then knows it.
   * @throws ShishuError `aborted`, `disposed`, `device-lost`, `unsupported`, `out-of-memory`
   */
  async next<T>(sequence: Sequence, take: (token: SampledToken) => T): Promise<T> {
    for (let moved = true; ; ) {
      throwIfAborted(sequence.sampler.signal);
      this.#host.still();
      if (sequence.error !== undefined) throw sequence.error;
      const token = sequence.stale ? undefined : sequence.unread.shift();
      if (token) return take(token);
      if (!moved) throw new Error('No step takes the sequence further.');
      // Another's turn may have begun before this sequence came, and all others may have left since.
      const others = this.#turn !== undefined;
      this.#turn ??= this.step().finally(() => {
        this.#turn = undefined;
      });
      moved = (await this.#turn) || others;
    }
  }

  /** Submits the steps that can be, then waits for the oldest one; false where there was nothing to do. */
  async step(): Promise<boolean> {
    let moved = false;
    while (await this.#submit()) moved = true;
    return (await this.#settle()) || moved;
  }

  /** Reads the oldest step back, and hands each sequence its token. */
  async #settle(): Promise<boolean> {
    const flight = this.#flying.shift();
    if (!flight) return false;
    const shares = (): Share[] =>
      flight.shares.filter(
        ({ sequence, beginning }) => sequence.slot && !sequence.ended && sequence.beginning === beginning,
      );
    try {
      const { tokens, logprobs, notes } = await flight.done;
      for (const { sequence, end, place } of shares()) {
        const overflow = notes && overflowOf(notes, sequence.slot!.index);
        if (overflow) {
          // It is not cached: who runs it again is to be told, too.
          sequence.error ??= overflow;
          continue;
        }
        sequence.ran(end);
        if (place === undefined) continue;
        sequence.add(tokens[place]!, logprobs?.[place]);
      }
    } catch (error) {
      for (const { sequence } of shares()) sequence.error ??= error;
    }
    return true;
  }

  /** Submits one step, or makes sequences ready for it; false where nothing can be done before a step is read back. */
  async #submit(): Promise<boolean> {
    if (await this.#beginAll()) return true;
    const members = this.#members();
    if (members.length === 0) return false;
    if (this.#outdated || this.#next.some((sequence) => !members.includes(sequence))) {
      // The rows on the GPU are to change: the host has to know them all.
      if (this.#flying.length > 0) return false;
      this.#next = [];
      this.#outdated = false;
    }
    const { pace, parts } = this.#runner;
    const { rows: most } = parts.scratch;
    let waiting = members.filter((sequence) => !this.#next.includes(sequence));
    // Chunks of prompts keep the GPU busy for long.
    if (this.#flying.length >= (waiting.length > 0 ? LEAST_IN_FLIGHT : pace.inFlight)) return false;
    let decoding = this.#next;
    // Where prompts would get few rows beside those that decode, they take turns.
    if (waiting.length > 0 && 2 * decoding.length > most) {
      if (this.#steps % 2 === 0) waiting = [];
      else decoding = [];
    }
    return this.#compose(decoding, waiting, most);
  }

  /** Begins sequences that have their turn for the first time, or in another plan. */
  async #beginAll(): Promise<boolean> {
    let moved = false;
    const ready = new Set<Plan>();
    for (const sequence of this.#leave.keys()) {
      try {
        if (sequence.children.length > 0) this.#shareWithChildren(sequence);
        if (sequence.error !== undefined || sequence.parent || (sequence.plan && !sequence.stale)) continue;
        moved = true;
        const plan = sequence.wantedPlan;
        if (!ready.has(plan)) await this.#host.ready(plan);
        ready.add(plan);
        // It may have left meanwhile.
        if (sequence.slot) this.#begin(sequence, plan);
      } catch (error) {
        sequence.error = error;
      }
    }
    return moved;
  }

  #begin(sequence: Sequence, plan: Plan): void {
    sequence.begin(plan, this.#runner.parts.kv.rings);
    this.#outdated ||= this.#next.includes(sequence);
    const { parts, sampler } = this.#runner;
    const { index } = sequence.slot!;
    const { vocabSize } = parts.spec;
    clearNote(parts, index);
    parts.adapters?.choose(index, sequence.adapter);
    const [counts, bias] = [sequence.counts(vocabSize), sequence.bias(vocabSize)];
    sampler.setAdjustments(index, sequence.kind, { counts, bias });
  }

  /** Gives K and V of a prompt to those that wait for it, once it has run. */
  #shareWithChildren(parent: Sequence): void {
    if (!parent.plan || parent.stale || parent.rest > 0 || parent.prefix.length < parent.computed) return;
    const children = parent.children.filter(({ slot }) => slot);
    const { index, prefix } = parent.slot!;
    this.#runner.copyKv(
      parent.plan,
      index,
      children.map(({ slot }) => slot!.index),
    );
    const notCopied = parent.plan.flatMap(({ kind, layer }) => (kind === 'attention' ? [] : [layer]));
    for (const child of children) {
      const given = parent.prefix.copy();
      given.release(notCopied);
      child.given = given;
      // Unless a reset has come meanwhile, it is kept.
      if (prefix === parent.prefix) child.slot!.prefix = given;
      child.parent = undefined;
    }
    parent.children = [];
  }

  /** Those that the next step can take further: in the plan of the one that waits for longest. */
  #members(): Sequence[] {
    const runnable = [...this.#leave.keys()].filter(
      (sequence) => sequence.canRun() && (sequence.rest > 0 || this.#next.includes(sequence)),
    );
    const [longest] = [...runnable].sort((a, b) => a.lastStep - b.lastStep);
    return longest ? runnable.filter(({ plan }) => planKey(plan!) === planKey(longest.plan!)) : [];
  }

  /** Submits a step of those that decode and of chunks of the others' tokens; `most` is its room. */
  async #compose(
    decoding: readonly Sequence[],
    waiting: readonly Sequence[],
    most: number,
  ): Promise<boolean> {
    const rows: Row[] = [];
    const last: SampledRow[] = [];
    const joining: Sequence[] = [];
    const ends = new Map(decoding.map((sequence) => [sequence, sequence.computed + 1]));
    let room = most - decoding.length;
    // Equal shares of the room; what short ones leave goes to the longer.
    for (const [i, sequence] of [...waiting].sort((a, b) => a.rest - b.rest).entries()) {
      const share = Math.min(sequence.rest, Math.max(1, Math.floor(room / (waiting.length - i))), room);
      if (share === 0) break;
      room -= share;
      const { tokens, computed, slot, sampler, reply, uncounted } = sequence;
      const end = computed + share;
      for (let position = computed; position < end; position++)
        rows.push({ token: tokens[position]!, sequence: slot!.index, position });
      ends.set(sequence, end);
      if (end < tokens.length) continue;
      last.push({ ...rows.pop()!, sampler, reply, uncounted });
      joining.push(sequence);
    }
    const sampling = [...decoding, ...joining];
    for (const sequence of sampling)
      try {
        if (sequence.constraint)
          this.#runner.sampler.setMask(sequence.slot!.index, sequence.constraint.mask());
      } catch (error) {
        sequence.error = error;
        return true;
      }
    const first = ends.keys().next().value!;
    // Whatever becomes of the step, rings lose what these positions take the place of.
    for (const [sequence, end] of ends) sequence.prefix.wrote(end);
    const at = this.#next.length;
    try {
      const { done } = await this.#runner.run({
        plan: first.plan!,
        kind: sampling.length > 0 ? kindOfAll(sampling.map(({ kind }) => kind)) : GREEDY,
        rows,
        sampled: decoding.length,
        last,
        at,
        context: Math.max(...ends.values()),
        adapted: [...ends.keys()].some(({ adapter }) => adapter !== undefined),
      });
      this.#steps++;
      const shares = [...ends].map(([sequence, end]): Share => {
        const { beginning } = sequence;
        const joined = joining.indexOf(sequence);
        const place =
          joined >= 0 ? at + joined : decoding.includes(sequence) ? decoding.indexOf(sequence) : undefined;
        sequence.computed = end;
        sequence.lastStep = this.#steps;
        if (place !== undefined) sequence.inFlight++;
        return { sequence, beginning, end, place };
      });
      this.#next.push(...joining);
      this.#flying.push({ done, shares });
    } catch (error) {
      for (const sequence of ends.keys()) sequence.error ??= error;
    }
    return true;
  }
}

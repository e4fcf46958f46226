import { heldLength } from './stop-filter.ts';

/** What stands around a model's thought. */
export interface ThoughtTags {
  open: string;
  close: string;
}

/** Those that are known; of a model, the ones that its template or its vocabulary has. */
export const THOUGHT_TAGS: readonly ThoughtTags[] = [
  ...['think', 'thinking', 'thought', 'thoughts', 'reasoning', 'seed:think'].map((name) => ({
    open: `<${name}>`,
    close: `</${name}>`,
  })),
  { open: '[THINK]', close: '[/THINK]' },
  { open: '<|START_THINKING|>', close: '<|END_THINKING|>' },
  { open: '<|begin_of_thought|>', close: '<|end_of_thought|>' },
];

/** A piece of a reply, told apart. */
export interface Parted {
  text: string;
  /** Undefined where the reply does not reason, or is past it. */
  reasoning?: string;
}

/**
 * Parts a reply into what it reasons and its answer, as it streams and wherever the pieces' borders fall. Reasoning stands at the
 * beginning, between tags; the tags, and line ends beside them, are neither. A reply that never closes it is all reasoning.
 */
export class ReasoningFilter {
  readonly #tags: readonly ThoughtTags[];
  #held = '';
  #told = false;
  /** Before the first word, in reasoning, behind its closing tag, in the answer. */
  #state: 'start' | 'reasoning' | 'closed' | 'answer' = 'start';
  /** Of the reasoning that has begun. */
  #close = '';

  /** @param opened tags of the reasoning that the prompt has begun */
  constructor(tags: readonly ThoughtTags[], opened?: ThoughtTags) {
    this.#tags = tags;
    if (opened) this.#open(opened);
  }

  get isReasoning(): boolean {
    return this.#state === 'reasoning';
  }

  /** The tag that ends the reasoning which has begun. */
  get closing(): string | undefined {
    return this.isReasoning ? this.#close : undefined;
  }

  /** The tags that may come next. */
  get awaited(): readonly string[] {
    if (this.#state === 'start') return this.#tags.map(({ open }) => open);
    return this.isReasoning ? [this.#close] : [];
  }

  #open({ close }: ThoughtTags): void {
    this.#state = 'reasoning';
    this.#close = close;
  }

  push(text: string): Parted {
    this.#held += text;
    const parted: Parted = { text: '' };
    if (this.#state === 'start') this.#start();
    if (this.#state === 'reasoning') this.#reason(parted);
    if (this.#state === 'closed') {
      this.#held = this.#held.replace(/^[\r\n]+/, '');
      if (this.#held) this.#state = 'answer';
      else parted.reasoning ??= '';
    }
    if (this.#state === 'answer') parted.text = this.#take(this.#held.length);
    return parted;
  }

  #start(): void {
    const said = this.#held.trimStart();
    const tags = this.#tags.find(({ open }) => said.startsWith(open));
    if (tags) {
      this.#held = said.slice(tags.open.length);
      this.#open(tags);
    } else if (!this.#tags.some(({ open }) => open.startsWith(said))) this.#state = 'answer';
  }

  #reason(parted: Parted): void {
    if (!this.#told) this.#held = this.#held.replace(/^[\r\n]+/, '');
    const end = this.#held.indexOf(this.#close);
    const sure = end < 0 ? this.#held.length - heldLength(this.#held, [this.#close]) : end;
    // Line ends wait for what follows: those before the tag are not told.
    const shown = this.#held.slice(0, sure).replace(/[\r\n]+$/, '').length;
    parted.reasoning = this.#take(shown);
    this.#told ||= shown > 0;
    if (end < 0) return;
    this.#held = this.#held.slice(end - shown + this.#close.length);
    this.#state = 'closed';
  }

  #take(length: number): string {
    const taken = this.#held.slice(0, length);
    this.#held = this.#held.slice(length);
    return taken;
  }

  /** At the end of the reply: what was held back. */
  flush(): Parted {
    const held = this.#take(this.#held.length);
    if (this.isReasoning) return { text: '', reasoning: held.replace(/[\r\n]+$/, '') };
    return { text: held };
  }
}

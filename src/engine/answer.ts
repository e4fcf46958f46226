import { heldLength } from '../formats/stop-filter.ts';
import type { ConstrainedReply, TokenConstraint } from '../grammar/constraint.ts';

/** Where the reasoning stands that comes before an answer. */
export interface ReasoningBounds {
  /** Token ids of each opening tag, and the text of the tag that closes it. */
  opens: readonly { ids: readonly number[]; close: string }[];
  /** The closing tag of the reasoning that the prompt has opened. */
  opened: string | undefined;
  /** How a token is written that stands for no text: a tag may be one. */
  written(id: number): string;
}

const LINE_ENDS = /^[\r\n]+/;

/**
 * A constraint on the answer alone: before it the model may reason as it likes, but not end the reply. Line ends between the
 * reasoning and the answer are no part of either.
 */
export class ConstrainedAnswer implements TokenConstraint {
  readonly #make: () => ConstrainedReply;
  #answer: ConstrainedReply;
  readonly #enders: readonly number[];
  readonly #bounds: ReasoningBounds;
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  /** `start`: it may be either yet. */
  #state: 'start' | 'reasoning' | 'answer' = 'start';
  /** The tokens so far may begin the answer. */
  #answers = true;
  /** Tokens of the opening tag so far. */
  #tag: number[] = [];
  #close = '';
  /** The end of the reasoning so far, as far as it may begin the closing tag. */
  #held = '';

  /** @param make a constraint on an answer, at its beginning */
  constructor(make: () => ConstrainedReply, enders: Iterable<number>, bounds: ReasoningBounds) {
    this.#make = make;
    this.#answer = make();
    this.#enders = [...enders];
    this.#bounds = bounds;
    if (bounds.opened !== undefined) this.#begin(bounds.opened);
  }

  #begin(close: string): void {
    this.#state = 'reasoning';
    this.#close = close;
  }

  /** The opening tags that the tokens so far begin. */
  get #opening(): ReasoningBounds['opens'] {
    return this.#bounds.opens.filter(({ ids }) => this.#tag.every((id, i) => ids[i] === id));
  }

  mask(): Uint32Array<ArrayBuffer> {
    if (this.#state === 'answer') return this.#answer.mask();
    if (this.#state === 'reasoning') return this.#free();
    const mask = this.#answer.mask();
    if (!this.#answers) mask.fill(0);
    for (const { ids } of this.#opening) {
      const id = ids[this.#tag.length]!;
      mask[id >> 5]! |= 1 << (id & 31);
    }
    return mask;
  }

  /** All tokens but those that end the reply, or that go on behind the closing tag in a way the answer cannot begin. */
  #free(): Uint32Array<ArrayBuffer> {
    const mask = new Uint32Array(this.#answer.words).fill(0xffffffff);
    const forbid = (id: number): void => {
      mask[id >> 5]! &= ~(1 << (id & 31));
    };
    for (const id of this.#enders) forbid(id);
    const rest = new TextEncoder().encode(this.#close.slice(this.#held.length));
    for (let id = 0; this.#held !== '' && id < this.#answer.vocabulary.size; id++) {
      const bytes = this.#answer.vocabulary.bytes(id);
      if (!bytes || bytes.length <= rest.length || rest.some((byte, i) => bytes[i] !== byte)) continue;
      const behind = bytes.subarray(rest.length);
      const text = new TextDecoder().decode(behind as Uint8Array<ArrayBuffer>).replace(LINE_ENDS, '');
      if (!this.#answer.accepts(new TextEncoder().encode(text))) forbid(id);
    }
    return mask;
  }

  push(id: number): string {
    const bytes = this.#answer.vocabulary.bytes(id);
    if (this.#state === 'answer') return this.#pushAnswer(id, bytes);
    if (this.#state === 'start') return this.#pushFirst(id, bytes);
    // Half a character before a tag is none of the answer's.
    const text = bytes ? this.#decoded(bytes) : this.#decoder.decode();
    this.#reason(bytes ? text : this.#bounds.written(id));
    return text;
  }

  #decoded(bytes: Uint8Array = new Uint8Array()): string {
    return this.#decoder.decode(bytes as Uint8Array<ArrayBuffer>, { stream: true });
  }

  /** Of the opening tag, or of the answer; where it may be of both, of the one that later tokens say. */
  #pushFirst(id: number, bytes: Uint8Array | undefined): string {
    this.#answers &&= bytes !== undefined && this.#answer.accepts(bytes);
    this.#tag.push(id);
    const opening = this.#opening;
    const whole = opening.find(({ ids }) => ids.length === this.#tag.length);
    if (this.#answers) {
      if (whole || opening.length === 0) this.#state = 'answer';
      return this.#answer.push(id);
    }
    if (whole) {
      this.#answer = this.#make();
      this.#begin(whole.close);
    }
    return this.#decoded(bytes);
  }

  #reason(text: string): void {
    const held = this.#held + text;
    const end = held.indexOf(this.#close);
    if (end >= 0) {
      this.#state = 'answer';
      const rest = new TextEncoder().encode(held.slice(end + this.#close.length).replace(LINE_ENDS, ''));
      // No vocabulary is known whose single tokens hold the tag and more.
      this.#answer.run(rest);
      return;
    }
    this.#held = held.slice(held.length - heldLength(held, [this.#close]));
  }

  /** What was put behind the reasoning may end in line ends that the constraint does not know. */
  #pushAnswer(id: number, bytes: Uint8Array | undefined): string {
    const ends = bytes?.every((byte) => byte === 10 || byte === 13);
    return ends && !this.#answer.accepts(bytes!) ? '\n' : this.#answer.push(id);
  }

  get finished(): boolean {
    return this.#state === 'answer' && this.#answer.finished;
  }

  flush(): string {
    return this.#decoder.decode() + this.#answer.flush();
  }
}

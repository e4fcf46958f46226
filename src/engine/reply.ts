import { type Parted, ReasoningFilter } from '../formats/reasoning.ts';
import { StopFilter } from '../formats/stop-filter.ts';
import { TokenStream } from '../formats/token-stream.ts';
import type { Tokenizer } from '../formats/tokenizer.ts';
import { writtenBytes } from '../formats/written-bytes.ts';
import type { TokenConstraint } from '../grammar/constraint.ts';
import { closingIds, type Reasoning } from './reasoning.ts';
import type { SampledToken } from './sequence.ts';
import type { FinishReason, GenerateChunk, TokenLogprob } from './types.ts';

export interface ReplyOptions {
  /** Token ids that end the reply. */
  enders: ReadonlySet<number>;
  stop: readonly string[];
  /** Most tokens. */
  limit: number;
  /** Tokens of a text that the reply goes on with; none otherwise. */
  continued: readonly number[];
  constraint: TokenConstraint | undefined;
  reasoning?: Reasoning | undefined;
}

/** The text of one reply as its tokens are chosen. */
export class Reply {
  readonly constraint: TokenConstraint | undefined;
  readonly tokenIds: number[] = [];
  /** Its answer. */
  text = '';
  /** What came before the answer; undefined where nothing did. */
  reasoning: string | undefined;
  /** Tokens up to the answer. */
  reasoningTokens = 0;
  finishReason: FinishReason | undefined;
  /** When its first token came, as `performance.now()`. */
  firstAt: number | undefined;
  readonly #tokenizer: Tokenizer;
  /** Its first token begins a text, of which decoders drop a space. */
  readonly #begins: boolean;
  readonly #enders: ReadonlySet<number>;
  readonly #limit: number;
  readonly #stream: TokenStream | TokenConstraint;
  readonly #stops: StopFilter;
  readonly #parts: ReasoningFilter | undefined;
  /** Where the last token stands; `#parts` is behind it where a stop string holds text back. */
  readonly #place: ReasoningFilter | undefined;
  /** Tokens of reasoning that may still come; undefined where nothing bounds them, or all were used. */
  #budget: number | undefined;
  #spent = false;
  /** Text that the end of the reply set free. */
  #rest = '';

  constructor(tokenizer: Tokenizer, options: ReplyOptions) {
    this.#tokenizer = tokenizer;
    this.#begins = options.continued.length === 0 && !options.constraint;
    this.constraint = options.constraint;
    this.#enders = options.enders;
    this.#limit = options.limit;
    this.#stops = new StopFilter(options.stop);
    const { reasoning } = options;
    if (reasoning) {
      this.#parts = new ReasoningFilter(reasoning.tags, reasoning.opened);
      this.#place = new ReasoningFilter(reasoning.tags, reasoning.opened);
      this.#budget = reasoning.budget;
      if (reasoning.opened) this.reasoning = '';
    }
    const stream = new TokenStream(tokenizer);
    // A continued text goes on where the prompt ends: decoders drop the space before a first word.
    for (const id of options.continued.slice(-8)) stream.push(id);
    this.#stream = options.constraint ?? stream;
  }

  /** Takes one token in: the chunk to yield, if it is part of the reply. */
  take({ tokenId, logprobs }: SampledToken): GenerateChunk | undefined {
    this.firstAt ??= performance.now();
    const reasoned = this.#place?.isReasoning;
    const chunk = this.#accept(tokenId, logprobs);
    if (reasoned && this.#place?.isReasoning && this.#budget !== undefined) {
      this.#budget--;
      this.#spent = true;
    }
    return chunk;
  }

  /** Once, where the budget of reasoning is used up: the tokens that close it, which the reply goes on with, as chunks. */
  close(): GenerateChunk[] {
    const { closing } = this.#place ?? {};
    if (this.#budget === undefined || this.#budget > 0 || this.finishReason || closing === undefined)
      return [];
    this.#budget = undefined;
    const chunks: GenerateChunk[] = [];
    for (const tokenId of closingIds(this.#tokenizer, closing, this.#spent)) {
      const chunk = this.#accept(tokenId, undefined);
      if (chunk) chunks.push(chunk);
      if (this.finishReason) break;
    }
    return chunks;
  }

  #accept(tokenId: number, logprobs: SampledToken['logprobs']): GenerateChunk | undefined {
    if (this.#enders.has(tokenId)) {
      this.finishReason = 'stop';
      // It may complete a stop string, whose beginning is then held back for good.
      this.#rest = this.#stops.push(this.#stream.flush()).text + this.#seeControl(tokenId).text;
      return undefined;
    }
    this.tokenIds.push(tokenId);
    const { text: seen, stopped } = this.#see(tokenId);
    const parted = this.#part(seen);
    if (parted.reasoning !== undefined) this.reasoningTokens = this.tokenIds.length;
    if (stopped || this.constraint?.finished) this.finishReason = 'stop';
    else if (this.tokenIds.length >= this.#limit) this.finishReason = 'length';
    const logprob = logprobs && this.#told(logprobs);
    return { ...parted, tokenId, ...(logprob && { logprob }) };
  }

  /** Tells text that is sure to be shown as what it is. */
  #part(seen: string): Parted {
    return this.#add(this.#parts?.push(seen) ?? { text: seen });
  }

  #add(parted: Parted): Parted {
    this.text += parted.text;
    if (parted.reasoning !== undefined) this.reasoning = (this.reasoning ?? '') + parted.reasoning;
    return parted;
  }

  /** Stop strings may be control tokens, or hold them: those are looked at too, and never shown. */
  #see(tokenId: number): { text: string; stopped: boolean } {
    const said = this.#stream.push(tokenId);
    this.#place?.push(said);
    const seen = this.#stops.push(said);
    if (seen.stopped || !this.#tokenizer.isSilent(tokenId)) return seen;
    const { text, stopped } = this.#seeControl(tokenId);
    return { text: seen.text + text, stopped };
  }

  #seeControl(tokenId: number): { text: string; stopped: boolean } {
    const written = this.#tokenizer.decode([tokenId], { skipSpecialTokens: false });
    if (!this.#place?.awaited.includes(written)) return this.#stops.push(written, true);
    // Half a character before a tag stands before it.
    const tag = (this.#stream instanceof TokenStream ? this.#stream.cut() : '') + written;
    this.#place.push(tag);
    return this.#stops.push(tag);
  }

  /** The chances of a choice with what the tokens stand for; the last is the chosen token's. */
  #told(pairs: readonly { tokenId: number; logprob: number }[]): TokenLogprob {
    const first = this.tokenIds.length === 1 && this.#begins;
    const told = pairs.map((pair) => {
      const bytes = writtenBytes(this.#tokenizer, pair.tokenId, first);
      return bytes ? { ...pair, bytes } : pair;
    });
    const { tokenId: _, ...own } = told.pop()!;
    return { ...own, top: told };
  }

  /** What was held back, when the reply has ended. */
  flush(): GenerateChunk | undefined {
    const seen = this.#rest + this.#stops.push(this.#stream.flush()).text + this.#stops.flush();
    this.#rest = '';
    const told = this.#part(seen);
    const held = this.#add(this.#parts?.flush() ?? { text: '' });
    const text = told.text + held.text;
    const reasoning = (told.reasoning ?? '') + (held.reasoning ?? '');
    const tokenId = this.tokenIds.at(-1)!;
    return text || reasoning ? { text, ...(reasoning && { reasoning }), tokenId } : undefined;
  }
}

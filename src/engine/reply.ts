import { StopFilter } from '../formats/stop-filter.ts';
import { TokenStream } from '../formats/token-stream.ts';
import type { Tokenizer } from '../formats/tokenizer.ts';
import { writtenBytes } from '../formats/written-bytes.ts';
import type { ConstrainedReply } from '../grammar/constraint.ts';
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
  constraint: ConstrainedReply | undefined;
}

/** The text of one reply as its tokens are chosen. */
export class Reply {
  readonly constraint: ConstrainedReply | undefined;
  readonly tokenIds: number[] = [];
  text = '';
  finishReason: FinishReason | undefined;
  /** When its first token came, as `performance.now()`. */
  firstAt: number | undefined;
  readonly #tokenizer: Tokenizer;
  /** Its first token begins a text, of which decoders drop a space. */
  readonly #begins: boolean;
  readonly #enders: ReadonlySet<number>;
  readonly #limit: number;
  readonly #stream: TokenStream | ConstrainedReply;
  readonly #stops: StopFilter;
  /** Text that the end of the reply set free. */
  #rest = '';

  constructor(tokenizer: Tokenizer, options: ReplyOptions) {
    this.#tokenizer = tokenizer;
    this.#begins = options.continued.length === 0 && !options.constraint;
    this.constraint = options.constraint;
    this.#enders = options.enders;
    this.#limit = options.limit;
    this.#stops = new StopFilter(options.stop);
    const stream = new TokenStream(tokenizer);
    // A continued text goes on where the prompt ends: decoders drop the space before a first word.
    for (const id of options.continued.slice(-8)) stream.push(id);
    this.#stream = options.constraint ?? stream;
  }

  /** Takes one token in: the chunk to yield, if it is part of the reply. */
  take({ tokenId, logprobs }: SampledToken): GenerateChunk | undefined {
    this.firstAt ??= performance.now();
    if (this.#enders.has(tokenId)) {
      this.finishReason = 'stop';
      // It may complete a stop string, whose beginning is then held back for good.
      this.#rest = this.#stops.push(this.#stream.flush()).text + this.#seeControl(tokenId).text;
      return undefined;
    }
    this.tokenIds.push(tokenId);
    const { text, stopped } = this.#see(tokenId);
    this.text += text;
    if (stopped || this.constraint?.finished) this.finishReason = 'stop';
    else if (this.tokenIds.length >= this.#limit) this.finishReason = 'length';
    const logprob = logprobs && this.#told(logprobs);
    return { text, tokenId, ...(logprob && { logprob }) };
  }

  /** Stop strings may be control tokens, or hold them: those are looked at too, and never shown. */
  #see(tokenId: number): { text: string; stopped: boolean } {
    const seen = this.#stops.push(this.#stream.push(tokenId));
    if (seen.stopped || !this.#tokenizer.isSilent(tokenId)) return seen;
    const { text, stopped } = this.#seeControl(tokenId);
    return { text: seen.text + text, stopped };
  }

  #seeControl(tokenId: number): { text: string; stopped: boolean } {
    return this.#stops.push(this.#tokenizer.decode([tokenId], { skipSpecialTokens: false }), true);
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
    const text = this.#rest + this.#stops.push(this.#stream.flush()).text + this.#stops.flush();
    this.#rest = '';
    this.text += text;
    return text ? { text, tokenId: this.tokenIds[this.tokenIds.length - 1]! } : undefined;
  }
}

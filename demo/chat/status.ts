import type { GenerateResult, ModelInfo } from '../../src/engine/types.ts';
import { byId, el } from './dom.ts';
import { bytes, digits, milliseconds } from './format.ts';

/** Figures of the reply that is being written. */
export interface Pace {
  tokens: number;
  firstTokenMs: number;
  /** Milliseconds since the first token. */
  sinceFirstMs: number;
}

/** The line below the composer: the speed of the last reply, and what the model takes. */
export class Status {
  readonly #list = byId('status', HTMLUListElement);
  #model: string[] = [];
  #reply: string[] = [];

  model(info: ModelInfo | undefined): void {
    this.#reply = [];
    this.#model = info
      ? [
          `${bytes(info.bytes.weights)} weights (${info.dtype})`,
          `${bytes(info.bytes.kv)} KV`,
          `${info.dispatchesPerToken} dispatches a token`,
          info.adapter,
        ]
      : [];
    this.#draw();
  }

  running({ tokens, firstTokenMs, sinceFirstMs }: Pace): void {
    const speed = tokens > 1 ? [`${digits(((tokens - 1) * 1000) / sinceFirstMs)} tokens/s`] : [];
    this.#reply = [...speed, `first token ${milliseconds(firstTokenMs)}`];
    this.#draw();
  }

  finished({ usage, timings }: GenerateResult, contextLength: number): void {
    const { decodeTokensPerSecond: speed, firstTokenMs } = timings;
    this.#reply = [
      ...(Number.isFinite(speed) && speed > 0 ? [`${digits(speed)} tokens/s`] : []),
      `first token ${milliseconds(firstTokenMs)}`,
      `${usage.totalTokens} of ${contextLength} tokens of context`,
    ];
    this.#draw();
  }

  #draw(): void {
    this.#list.replaceChildren(...[...this.#reply, ...this.#model].map((figure) => el('li', {}, figure)));
  }
}

import type { GenerateResult, ModelInfo } from '../../src/engine/types.ts';
import { profileAsked } from '../profile.ts';
import { text } from '../text/index.ts';
import { byId, el } from './dom.ts';
import { bytes, milliseconds } from './format.ts';

/** The line below the composer: the last reply, and what the model takes; the slider has more. */
export class Status {
  readonly #list = byId('status', HTMLUListElement);
  #model: string[] = [];
  #reply: string[] = [];
  #contextLength = 0;

  /** Another model, or none. */
  clear(): void {
    this.#reply = [];
    this.model(undefined);
  }

  model(info: ModelInfo | undefined): void {
    this.#contextLength = info?.contextLength ?? 0;
    this.#model = info
      ? [
          text.weights(bytes(info.bytes.weights), info.formats.map(({ dtype }) => dtype).join(', ')),
          ...(info.f32Tensors.length > 0 ? [text.keptAsF32(info.f32Tensors.length)] : []),
          text.kvAs(info.kv),
          text.dispatches(info.dispatchesPerToken),
          info.adapter,
          ...(profileAsked() ? [text.profile(info.profile)] : []),
        ]
      : [];
    this.#draw();
  }

  running(firstTokenMs: number): void {
    this.#reply = [text.firstToken(milliseconds(firstTokenMs))];
    this.#draw();
  }

  finished({ usage, timings }: GenerateResult): void {
    this.#reply = [
      text.firstToken(milliseconds(timings.firstTokenMs)),
      ...(this.#contextLength > 0 ? [text.contextOf(usage.totalTokens, this.#contextLength)] : []),
    ];
    this.#draw();
  }

  #draw(): void {
    this.#list.replaceChildren(...[...this.#reply, ...this.#model].map((figure) => el('li', {}, figure)));
  }
}

// Parent and child answer the same prompt, beside each other.
import { loadModel } from '../../src/engine/engine.ts';
import type { EngineModel } from '../../src/engine/model-interface.ts';
import type { LoadProgress } from '../../src/engine/types.ts';
import type { SourceLike } from '../../src/formats/open-source.ts';
import type { ProfileOption } from '../../src/gpu/profile.ts';
import { announce, el } from '../chat/dom.ts';
import { attempt } from '../chat/notices.ts';
import { hubOfPage } from '../hub.ts';

const REPLY_TOKENS = 160;

interface Pane {
  said: HTMLElement;
  note: HTMLElement;
}

/** Two panes and a field; the models are loaded when they are first asked, and freed by `close`. */
export class SideBySide {
  readonly element: HTMLElement;
  readonly #sources: readonly (() => Promise<SourceLike>)[];
  readonly #profile: ProfileOption;
  readonly #panes: readonly Pane[];
  readonly #prompt = el('input', {
    name: 'prompt',
    dir: 'auto',
    autocomplete: 'off',
    'aria-label': 'Prompt for both',
    placeholder: 'Ask both the same',
  });
  readonly #ask = el('button', { type: 'submit', id: 'ask-both' }, 'Ask both');
  readonly #stop = el('button', { type: 'button', class: 'quiet', hidden: true }, 'Stop');
  #models: EngineModel[] = [];
  #abort: AbortController | undefined;
  #closed = false;

  constructor(
    models: readonly { label: string; source: () => Promise<SourceLike> }[],
    profile: ProfileOption,
  ) {
    this.#sources = models.map(({ source }) => source);
    this.#profile = profile;
    this.#panes = models.map(() => ({
      said: el('p', { class: 'said', dir: 'auto' }),
      note: el('small', {}),
    }));
    const submit = (event: Event): void => {
      event.preventDefault();
      void attempt(() => this.#run());
    };
    this.#stop.addEventListener('click', () => this.#abort?.abort());
    this.element = el(
      'section',
      { id: 'side-by-side', 'aria-label': 'Parent and child side by side' },
      el('h3', {}, 'Ask parent and child'),
      el(
        'div',
        { class: 'panes' },
        ...models.map(({ label }, i) =>
          el(
            'div',
            { class: 'pane' },
            el('strong', { dir: 'auto', class: `key ${i === 0 ? 'parent' : 'child'}` }, label),
            this.#panes[i]!.said,
            this.#panes[i]!.note,
          ),
        ),
      ),
      el('form', { class: 'row ask', submit }, this.#prompt, this.#ask, this.#stop),
    );
  }

  async #run(): Promise<void> {
    const prompt = this.#prompt.value.trim();
    if (this.#abort || prompt === '') return;
    const abort = new AbortController();
    this.#abort = abort;
    this.#ask.disabled = true;
    this.#stop.hidden = false;
    try {
      await this.#load(abort.signal);
      await Promise.all(
        this.#models.map((model, i) => this.#reply(model, this.#panes[i]!, prompt, abort.signal)),
      );
      announce('Both have answered.');
    } catch (error) {
      if (!abort.signal.aborted) throw error;
      for (const { note } of this.#panes) note.textContent = 'stopped';
    } finally {
      this.#abort = undefined;
      this.#ask.disabled = false;
      this.#stop.hidden = true;
    }
  }

  /** One after the other: together they would take the memory of both loads at once. */
  async #load(signal: AbortSignal): Promise<void> {
    while (this.#models.length < this.#sources.length) {
      const { note } = this.#panes[this.#models.length]!;
      const onProgress = ({ loadedBytes, totalBytes }: LoadProgress): void => {
        note.textContent = `loading, ${Math.floor((100 * loadedBytes) / totalBytes)} %`;
      };
      const source = await this.#sources[this.#models.length]!();
      const hub = hubOfPage();
      const model = await loadModel(source, { profile: this.#profile, hub, signal, onProgress });
      note.textContent = 'ready';
      if (this.#closed) return model.dispose();
      this.#models.push(model);
    }
  }

  async #reply(model: EngineModel, { said, note }: Pane, prompt: string, signal: AbortSignal): Promise<void> {
    const asked = model.hasChatTemplate ? [{ role: 'user' as const, content: prompt }] : prompt;
    const begun = performance.now();
    let text = '';
    let tokens = 0;
    said.textContent = '…';
    for await (const chunk of model.generate(asked, { maxTokens: REPLY_TOKENS, temperature: 0, signal })) {
      text += chunk.text;
      tokens++;
      said.textContent = text;
      note.textContent = `${((1000 * tokens) / (performance.now() - begun)).toFixed(1)} tokens/s, both at once`;
    }
    if (text === '') said.textContent = '(nothing)';
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#abort?.abort();
    for (const model of this.#models.splice(0)) await model.dispose();
  }
}

import { crashNoteName } from '../../src/api/crash-notes.ts';
import type { Dtype } from '../../src/engine/types.ts';
import { ShishuError } from '../../src/errors.ts';
import { crashedLoads, estimate, type Model, type ProfileOption } from '../../src/index.ts';
import { addDtypes } from '../dtypes.ts';
import { hubOfPage } from '../hub.ts';
import { text } from '../text/index.ts';
import { isKept } from './cached.ts';
import { announce, byId } from './dom.ts';
import { bytes } from './format.ts';
import { Loader } from './loader.ts';
import type { ModelChoice } from './model-choice.ts';
import { clearNotices, type NoticeAction, showError, showNote } from './notices.ts';
import { memoryLimit } from './phone.ts';

/** How a model is loaded: at first, after a crash as before or smaller, or the one at hand again, whose GPU was lost. */
export type Load =
  | { kind: 'first' | 'anyway' | 'reload' }
  | { kind: 'smaller'; dtype: Dtype; contextLength: number };

/** Told how a load goes. */
interface ModelEvents {
  /** The model at hand is gone, or about to be. */
  began(choice: ModelChoice): void;
  /** What there is now: another model, the same, or none. */
  ended(model: Model | undefined): Promise<void>;
}

/** The model of the page: one at a time. A load that would end the tab is not begun. */
export class Models {
  readonly #profile: ProfileOption;
  readonly #loader: Loader;
  readonly #events: ModelEvents;
  readonly #dtype = byId('dtype', HTMLSelectElement);
  /** The page chose the dtype, for a model that fits only so. */
  #isFitted = false;
  /** Counts the loads: what comes of an earlier one is of no interest. */
  #loads = 0;
  /** The model that is wanted: loaded, loading or failed. */
  wanted: ModelChoice | undefined;

  constructor(profile: ProfileOption, dtype: string | undefined, events: ModelEvents) {
    this.#profile = profile;
    this.#events = events;
    this.#loader = new Loader(profile);
    addDtypes(this.#dtype);
    if (dtype) this.#dtype.value = dtype;
    this.#dtype.addEventListener('change', () => {
      this.#isFitted = false;
      if (this.wanted) void this.load(this.wanted);
    });
  }

  get loaded(): { model: Model; choice: ModelChoice } | undefined {
    return this.#loader.loaded;
  }

  get busy(): boolean {
    return this.#loader.busy;
  }

  get dtype(): string {
    return this.#dtype.value;
  }

  /** Chooses a model as the list shows it: where it fits only with fewer bits, with those. */
  choose(choice: ModelChoice): void {
    if (choice.dtype !== undefined && this.#dtype.value === 'auto') {
      this.#dtype.value = choice.dtype;
      this.#isFitted = true;
    } else if (this.#isFitted) {
      this.#dtype.value = 'auto';
      this.#isFitted = false;
    }
    void this.load(choice);
  }

  async load(choice: ModelChoice, how: Load = { kind: 'first' }): Promise<void> {
    const number = ++this.#loads;
    clearNotices();
    if (!navigator.onLine && !(await isKept(choice))) {
      // It would be tried for half a minute.
      if (number === this.#loads) this.#offline(choice, how);
      return;
    }
    if (how.kind === 'first' && (await this.#crashed(choice, number))) return;
    if (how.kind === 'smaller') this.#dtype.value = how.dtype;
    const dtype = this.#dtype.value as Dtype;
    const limit = how.kind === 'anyway' ? undefined : memoryLimit();
    const size = {
      dtype,
      ...(how.kind === 'smaller' && { contextLength: how.contextLength }),
      ...(limit !== undefined && { memoryLimit: limit }),
    };
    this.wanted = choice;
    const load = how.kind === 'reload' ? this.#loader.reload() : this.#loader.load(choice, size);
    this.#events.began(choice);
    try {
      const model = await load;
      if (number !== this.#loads) return;
      if (!model) this.wanted = undefined;
      await this.#events.ended(model);
    } catch (error) {
      if (number !== this.#loads) return;
      await this.#events.ended(this.loaded?.model);
      await this.#failed(choice, how, error, number);
      return;
    }
    if (number !== this.#loads || !this.loaded) return;
    announce(text.isReady(choice.label));
  }

  /** Says why a model was not loaded, and offers what may help. */
  async #failed(choice: ModelChoice, how: Load, error: unknown, number: number): Promise<void> {
    const again = { label: text.tryAgain, run: () => this.load(choice, how) };
    const limit = memoryLimit();
    const tooLarge = error instanceof ShishuError && error.code === 'does-not-fit';
    if (!tooLarge) {
      if (!navigator.onLine && error instanceof ShishuError && error.code === 'io')
        this.#offline(choice, how);
      else showError(error, again);
      return;
    }
    const found = await this.#estimate(choice, limit);
    if (number !== this.#loads) return;
    const [smaller] = (found?.choices ?? []).filter(({ contextLength }) => contextLength >= 512);
    const less = smaller && this.#smaller(choice, smaller.dtype, smaller.contextLength);
    const anyway = { label: text.anyway, run: () => this.load(choice, { kind: 'anyway' }) };
    if (found && limit !== undefined && found.bytes.total > limit)
      showNote(
        text.tooLarge(choice.label, bytes(found.bytes.total), bytes(limit)),
        ...(less ? [less] : []),
        anyway,
      );
    else showError(error, ...(less ? [less] : [again]));
  }

  #offline(choice: ModelChoice, how: Load): void {
    const error = new ShishuError('io', text.offline(choice.label), { mend: text.offlineMend });
    showError(error, { label: text.tryAgain, run: () => this.load(choice, how) });
  }

  #smaller(choice: ModelChoice, dtype: Dtype, contextLength: number): NoticeAction {
    return {
      label: text.smaller(dtype, contextLength),
      run: () => this.load(choice, { kind: 'smaller', dtype, contextLength }),
    };
  }

  #estimate(choice: ModelChoice, limit = memoryLimit()) {
    return estimate(choice.source, {
      dtype: this.#dtype.value as Dtype,
      profile: this.#profile,
      hub: hubOfPage(),
      ...(limit !== undefined && { memoryLimit: limit }),
    }).catch(() => undefined);
  }

  /** Whether the tab ended when this model was last loaded; then the reader is asked, and offered less of it. */
  async #crashed(choice: ModelChoice, number: number): Promise<boolean> {
    const name = crashNoteName(choice.source);
    if (!(await crashedLoads()).some(({ model }) => model === name)) return number !== this.#loads;
    const found = await this.#estimate(choice);
    if (number !== this.#loads) return true;
    if (!found?.crashed) return false;
    const { smaller } = found;
    const less = smaller && this.#smaller(choice, smaller.dtype, smaller.contextLength);
    const anyway = { label: text.asBefore, run: () => this.load(choice, { kind: 'anyway' }) };
    showNote(text.crashed(choice.label), ...(less ? [less] : []), anyway);
    return true;
  }
}

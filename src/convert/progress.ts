import { ShishuError, throwIfAborted } from '../errors.ts';
import { readOptionalJson } from '../formats/json.ts';
import type { Log } from './healing-run.ts';
import { PROGRESS_FILE, type Staged } from './staged.ts';

/** What must be the same for a conversion to be gone on with, by name: plain data. */
export type Identity = Readonly<Record<string, unknown>>;

interface Kept {
  identity: Record<string, unknown>;
  /** Results of stages that are done, by name. */
  done: Record<string, unknown>;
}

/** How far a conversion has come: each stage's result is kept in the folder that is written, where that can be gone on with. */
export class Progress {
  readonly staged: Staged;
  /** Something is kept that took long to make: the folder stays where the conversion is stopped, or fails. */
  keeps: boolean;
  readonly #kept: Kept;

  private constructor(staged: Staged, kept: Kept | undefined) {
    this.staged = staged;
    this.keeps = kept !== undefined;
    this.#kept = kept ?? { identity: {}, done: {} };
  }

  /** @throws ShishuError `bad-checkpoint` when the folder is of another conversion */
  static async open(staged: Staged, identity: Identity): Promise<Progress> {
    const kept =
      staged.place === undefined
        ? undefined
        : await readOptionalJson(staged.source, PROGRESS_FILE, { code: 'bad-checkpoint' });
    const progress = new Progress(staged, kept as Kept | undefined);
    progress.check(identity);
    return progress;
  }

  /** Checks what must be the same, or has it kept where it is new. @throws ShishuError `bad-checkpoint` */
  check(identity: Identity): void {
    const { identity: known } = this.#kept;
    const text = (value: unknown): string => (value == null ? 'not given' : JSON.stringify(value));
    for (const [name, value] of Object.entries(identity)) {
      if (Object.hasOwn(known, name) && text(known[name]) !== text(value))
        throw new ShishuError(
          'bad-checkpoint',
          `${this.staged.place} is of another conversion: ${name} is ${text(known[name])}, asked for ${text(value)}.`,
          {
            details: { folder: this.staged.place ?? '', field: name },
            mend: 'Ask for the same, choose another folder to write, or remove that one to begin anew.',
          },
        );
      known[name] = value ?? null;
    }
  }

  /** Whether the folder stays: where something took long, and where it's stopped behind any stage. */
  staysFor(signal: AbortSignal | undefined): boolean {
    return this.keeps || (signal?.aborted === true && Object.keys(this.#kept.done).length > 0);
  }

  /** What `run` makes, once the folder is whole; where it fails, the folder goes, unless it can be gone on with. */
  async finish<T>(run: () => Promise<T>, { log, signal }: { log: Log; signal: AbortSignal | undefined }) {
    const { staged } = this;
    try {
      const made = await run();
      throwIfAborted(signal);
      await staged.commit();
      return made;
    } catch (error) {
      if (!this.staysFor(signal) || !staged.place) await staged.discard();
      else if (!(error instanceof ShishuError && error.code === 'bad-checkpoint'))
        log(`What is done is kept in ${staged.place}: the same command goes on from there.`);
      throw error;
    }
  }

  /** A stage's result: as it was kept, or made now, and kept. */
  async stage<T>(name: string, run: () => Promise<T>, { keeps = false } = {}): Promise<T> {
    if (Object.hasOwn(this.#kept.done, name)) return this.#kept.done[name] as T;
    const result = await run();
    await this.set(name, result);
    this.keeps ||= keeps;
    return result;
  }

  /** What was kept by this name. */
  get<T>(name: string): T | undefined {
    return this.#kept.done[name] as T | undefined;
  }

  /** Keeps plain data. @throws ShishuError `io` */
  async set(name: string, value: unknown): Promise<void> {
    this.#kept.done[name] = value;
    if (this.staged.place === undefined) return;
    await this.staged.write(PROGRESS_FILE, `${JSON.stringify(this.#kept)}\n`);
  }
}

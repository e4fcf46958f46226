import { ShishuError } from '../errors.ts';
import { tunedOf } from '../kernels/fallbacks.ts';
import type { TunedKernels } from '../kernels/tuning.ts';
import { importModule } from '../lazy.ts';
import type { Plan } from '../model/spec.ts';
import { keepTuning, type TuningStore } from './kept-tuning.ts';
import { leftOutText } from './rescue.ts';
import type { Runner } from './runner.ts';
import type { Scheduler } from './scheduler.ts';
import type { Tuned, Turn } from './tune.ts';
import type { KernelInfo } from './types.ts';

/** How a load asks for the choice of kernels. */
export interface TuningSetting {
  /** Kernels are to be timed once a reply has ended. */
  wanted: boolean;
  /** Where the choice that runs came from. */
  from: KernelInfo['from'];
  store?: TuningStore | undefined;
}

/** Chooses a model's kernels by timing variants between replies, and has it run the fastest from then on. */
export class KernelTuning {
  readonly #runner: Runner;
  readonly #scheduler: Scheduler;
  readonly #setting: TuningSetting;
  readonly #warn: (message: string) => void;
  readonly #ended = new AbortController();
  #running: Promise<TunedKernels> | undefined;

  constructor(
    runner: Runner,
    scheduler: Scheduler,
    setting: TuningSetting,
    warn: (message: string) => void = (message) => console.warn(message),
  ) {
    this.#runner = runner;
    this.#scheduler = scheduler;
    this.#setting = setting;
    this.#warn = warn;
    runner.onLeftOut = (left) => warn(leftOutText(runner.parts.gpu, [left]));
  }

  get from(): KernelInfo['from'] {
    return this.#setting.from;
  }

  /** Times kernels in the background, where that is wanted and has not been done. Never fails: the kernels stay as they are. */
  begin(plan: Plan): void {
    if (this.#setting.wanted) this.run(plan).catch(() => {});
  }

  /**
   * Times kernels anew, or goes along where that is under way.
   * @throws ShishuError `unsupported` where no clock is fine enough; `disposed`, `device-lost`
   */
  run(plan: Plan): Promise<TunedKernels> {
    this.#setting.wanted = false;
    this.#running ??= this.#run(plan).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** The model is gone. */
  end(): void {
    this.#setting.wanted = false;
    this.#ended.abort();
  }

  async #run(plan: Plan): Promise<TunedKernels> {
    const { signal } = this.#ended;
    const { parts, leftOut } = this.#runner;
    const turn: Turn = (run) =>
      this.#scheduler.whenIdle(async () => {
        // What is cached there is written over.
        const [slot] = this.#scheduler.vacate(1);
        return run(slot!.index);
      });
    const { tune } = await importModule(() => import('./tune.ts'));
    const tuned: Tuned | undefined = await tune(parts, plan, { signal, turn });
    if (!tuned)
      throw new ShishuError('unsupported', 'No clock here is fine enough to time kernels.', {
        mend: 'Load with a choice that was made elsewhere: the option "tuning".',
      });
    if (tuned.leftOut.length > 0) {
      leftOut.push(...tuned.leftOut);
      this.#warn(leftOutText(parts.gpu, tuned.leftOut));
    }
    const swap = await this.#runner.prepareTuning(tuned.tuning, plan);
    await this.#scheduler.whenIdle(async () => swap());
    this.#setting.from = 'timed';
    if (!signal.aborted) await keepTuning(parts, tuned.tuning, this.#setting.store);
    return tunedOf(parts.tuning);
  }
}

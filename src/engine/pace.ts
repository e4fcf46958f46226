/** Fewest and most steps that are submitted and not read back. */
export const LEAST_IN_FLIGHT = 2;
export const MOST_IN_FLIGHT = 4;

/** Steps whose mean tells what one takes: the word of several may come at once. */
const REMEMBERED = 8;

/**
 * Steps in flight so that the GPU has work while tokens are on their way to the page and the next step on its way to the GPU. One
 * runs; the others are run in that time.
 */
export const inFlightFor = (latencyMs: number, stepMs: number): number =>
  Math.min(MOST_IN_FLIGHT, Math.max(LEAST_IN_FLIGHT, 1 + Math.ceil(latencyMs / Math.max(stepMs, 1e-3))));

/** Chooses how many steps are in flight, by the time between those that land. */
export class Pace {
  readonly #latencyMs: () => number;
  readonly #now: () => number;
  /** What steps take on the GPU, the latest last. */
  readonly #times: number[] = [];
  #landed: number | undefined;

  /** @param latencyMs from a submit of next to nothing until it is read back */
  constructor(latencyMs: () => number, now: () => number = () => performance.now()) {
    this.#latencyMs = latencyMs;
    this.#now = now;
  }

  /**
   * A step was read back.
   * @param inFlight steps that were in flight until then; of one alone, the time between two tells nothing
   */
  landed(inFlight: number): void {
    const now = this.#now();
    const before = this.#landed;
    this.#landed = inFlight > 1 ? now : undefined;
    if (before === undefined) return;
    const interval = now - before;
    // Where the GPU waits for the page, as many steps as are in flight take the latency and one step's time.
    this.#times.push(Math.max(0, Math.min(interval, inFlight * interval - this.#latencyMs())));
    if (this.#times.length > REMEMBERED) this.#times.shift();
  }

  /** Steps that may be in flight now. */
  get inFlight(): number {
    if (this.#times.length < REMEMBERED) return LEAST_IN_FLIGHT;
    return inFlightFor(this.#latencyMs(), this.#times.reduce((sum, ms) => sum + ms, 0) / REMEMBERED);
  }
}

/** The browser's word that work is done comes late where it takes longer than this: Firefox asks its driver every 100 ms. */
const COARSE_MS = 20;
/** Time between two empty submits, in milliseconds. */
const NUDGE_MS = 2;
const SAMPLES = 3;

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;

/** How long the GPU's word takes to come back, and what makes it come sooner. */
export class ReadBack {
  static readonly #ofDevice = new WeakMap<GPUDevice, ReadBack>();
  readonly #device: GPUDevice;
  #coarse = false;
  #latencyMs = 0;
  #waiting = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #measured: Promise<void> | undefined;

  static of(device: GPUDevice): ReadBack {
    const known = ReadBack.#ofDevice.get(device) ?? new ReadBack(device);
    ReadBack.#ofDevice.set(device, known);
    return known;
  }

  private constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** The browser asks its driver at times only: waiting alone takes long, and times of work are not to be trusted. */
  get coarse(): boolean {
    return this.#coarse;
  }

  /** Milliseconds from a submit of next to nothing until it is read back; 0 until it is measured. */
  get latencyMs(): number {
    return this.#latencyMs;
  }

  /** Times a submit of nothing and one of 4 bytes that are read back, once for a device. Never fails. */
  measure(): Promise<void> {
    this.#measured ??= this.#measure().catch(() => {});
    return this.#measured;
  }

  async #measure(): Promise<void> {
    const { queue } = this.#device;
    const timesOf = async (run: () => Promise<unknown>): Promise<number> => {
      const times: number[] = [];
      // The first comes at any time between two of the browser's looks at its driver.
      for (let i = 0; i < SAMPLES; i++) {
        const begun = performance.now();
        await run();
        times.push(performance.now() - begun);
      }
      return median(times);
    };
    const done = await timesOf(() => {
      queue.submit([]);
      return queue.onSubmittedWorkDone();
    });
    const { MAP_READ, COPY_DST } = GPUBufferUsage;
    const word = this.#device.createBuffer({ label: 'latency', size: 4, usage: MAP_READ | COPY_DST });
    const read = async (): Promise<void> => {
      const encoder = this.#device.createCommandEncoder();
      encoder.clearBuffer(word);
      queue.submit([encoder.finish()]);
      await this.told(word.mapAsync(GPUMapMode.READ));
      word.unmap();
    };
    try {
      this.#latencyMs = await timesOf(read);
      this.#coarse = Math.max(done, this.#latencyMs) > COARSE_MS;
      if (this.#coarse) this.#latencyMs = await timesOf(read);
    } finally {
      word.destroy();
    }
  }

  /** Waits for the GPU's word. Where the browser looks for it at times only, it looks at each submit as well: empty ones follow. */
  async told<T>(word: Promise<T>): Promise<T> {
    this.#waiting++;
    if (this.#coarse) this.#nudge();
    try {
      return await word;
    } finally {
      this.#waiting--;
    }
  }

  #nudge(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      if (this.#waiting === 0) return;
      this.#device.queue.submit([]);
      this.#nudge();
    }, NUDGE_MS);
  }
}

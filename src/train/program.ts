import type { Gpu } from '../gpu/device.ts';
import { type Dispatch, encode, Recorder, type StepShape } from '../gpu/recorder.ts';

/** Launches of training are of one size: no kernel of it reads the step. */
const STEP: StepShape = { rows: 0, first: 0, count: 0, next: 0, context: 0 };

/** Copies between buffers and clears, which stand between passes. */
type Between = (encoder: GPUCommandEncoder) => void;

/** Work of the GPU that is recorded once and run often: launches, copies between them, and where it is handed over. */
export class Program {
  readonly #gpu: Gpu;
  readonly #parts: (Recorder | Between | 'submit')[] = [];

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** Where launches are added now. */
  get recorder(): Recorder {
    const last = this.#parts.at(-1);
    if (last instanceof Recorder) return last;
    const made = new Recorder(this.#gpu);
    this.#parts.push(made);
    return made;
  }

  /** @param bytes a multiple of 4 */
  copy(from: GPUBuffer, to: GPUBuffer, bytes: number, offset = 0): void {
    this.#parts.push((encoder) => encoder.copyBufferToBuffer(from, 0, to, offset, bytes));
  }

  clear(buffer: GPUBuffer): void {
    this.#parts.push((encoder) => encoder.clearBuffer(buffer));
  }

  /** What comes before is handed to the GPU by itself: browsers end work that takes it seconds. */
  submit(): void {
    this.#parts.push('submit');
  }

  /** @returns runs all of it, in order; when the GPU is done is for others to wait for */
  async finish(): Promise<() => void> {
    const parts = await Promise.all(
      this.#parts.map((part): Promise<readonly Dispatch[]> | Between | 'submit' =>
        part instanceof Recorder ? part.finish() : part,
      ),
    );
    const { device } = this.#gpu;
    return () => {
      let encoder = device.createCommandEncoder();
      const submit = (): void => device.queue.submit([encoder.finish()]);
      for (const part of parts)
        if (part === 'submit') {
          submit();
          encoder = device.createCommandEncoder();
        } else if (typeof part === 'function') part(encoder);
        else {
          const pass = encoder.beginComputePass();
          encode(pass, part, STEP);
          pass.end();
        }
      submit();
    };
  }
}

import type { Runner } from '../engine/runner.ts';
import { type Dispatch, Recorder } from '../gpu/recorder.ts';
import { stride } from '../kernels/tensor.ts';
import { recordLinear } from '../model/forward.ts';
import type { Plan } from '../model/spec.ts';
import { beforeMixer, behindMixer, encodePass, Stack } from './stack.ts';

/** One token's hidden states at a block; all `(d)`, overwritten by the next token. */
export interface Captured {
  /** The block's input. */
  x: Float64Array;
  /** What the block's mixer added to x. */
  a: Float64Array;
  /** What its linear map, which is on the GPU, would have added. */
  guess: Float64Array;
}

/** Runs windows of tokens and reads back what the mixer of each block does, and what its linear map would. */
export interface Capture {
  /** Runs one window from position 0, and visits each token of each captured layer. */
  run(
    tokens: readonly number[],
    visit: (layer: number, position: number, captured: Captured) => void,
  ): Promise<void>;
  close(): void;
}

/** Makes a capture of a plan's layers, all of which have maps; `layers` ascend. */
export async function makeCapture(runner: Runner, plan: Plan, layers: readonly number[]): Promise<Capture> {
  const { parts, ledger } = runner;
  const { gpu, scratch } = parts;
  const d = scratch.x.cols;
  const padded = stride(d);
  const rowBytes = 4 * padded;
  const guess = { buffer: ledger.storage('guess', scratch.rows * rowBytes, 'scratch'), cols: d };
  const stack = new Stack(runner);
  // A window's last chunk may be of few rows.
  const widths = new Set(Array.from({ length: scratch.rows }, (_, i) => stack.widthOf(i + 1)));
  const maps = new Map<string, Dispatch[]>();
  for (const width of widths)
    for (const layer of layers) {
      const recorder = new Recorder(gpu);
      recordLinear(parts, recorder, { layer, rows: stack.rows, to: guess, width });
      maps.set(`${layer} ${width}`, await recorder.finish());
    }
  // Of each layer x before, the guess, x after.
  const states = 3 * layers.length;
  const staging = ledger.buffer(
    'captured states',
    states * scratch.rows * rowBytes,
    'scratch',
    GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  );
  const captured = { x: new Float64Array(d), a: new Float64Array(d), guess: new Float64Array(d) };
  return {
    run: (tokens, visit) =>
      stack.run(tokens, plan, {
        to: behindMixer(layers.at(-1)!),
        places: layers.flatMap((layer) => [beforeMixer(layer), behindMixer(layer)]),
        hook: ({ encoder, place, step }) => {
          const bytes = step.rows * rowBytes;
          const layer = Math.floor(place / 2);
          const behind = place === behindMixer(layer);
          const take = (from: GPUBuffer, which: number): void => {
            const at = 3 * layers.indexOf(layer) + which;
            encoder.copyBufferToBuffer(from, 0, staging, at * bytes, bytes);
          };
          take(scratch.x.buffer, behind ? 2 : 0);
          if (behind) return;
          encodePass(encoder, maps.get(`${layer} ${stack.widthOf(step.rows)}`)!, step);
          take(guess.buffer, 1);
        },
        submitted: async ({ rows }, position) => {
          const bytes = states * rows * rowBytes;
          await gpu.readBack.told(staging.mapAsync(GPUMapMode.READ, 0, bytes));
          const values = new Float32Array(staging.getMappedRange(0, bytes).slice(0));
          staging.unmap();
          const { x, a, guess } = captured;
          layers.forEach((layer, l) => {
            for (let r = 0; r < rows; r++) {
              const [before, guessed, after] = [0, 1, 2].map((i) => ((3 * l + i) * rows + r) * padded);
              for (let i = 0; i < d; i++) {
                x[i] = values[before! + i]!;
                a[i] = values[after! + i]! - x[i]!;
                guess[i] = values[guessed! + i]!;
              }
              visit(layer, position + r, captured);
            }
          });
        },
      }),
    close() {
      stack.close();
      ledger.release(staging);
      ledger.release(guess.buffer);
    },
  };
}

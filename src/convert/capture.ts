import type { Runner } from '../engine/runner.ts';
import { stride } from '../kernels/tensor.ts';
import type { Plan } from '../model/plan.ts';
import { makeWalk } from './walk.ts';

/** What one token's hidden states say of a block; all `(d)`, written over by the next token. */
export interface Captured {
  /** The block's input. */
  x: Float64Array;
  /** x / rms(x) */
  z: Float64Array;
  /** What the block's first half added to x. */
  a: Float64Array;
}

/** Runs windows of tokens and reads hidden states back from between the two halves of each block. */
export interface Capture {
  /** Runs one window from position 0, and visits each token of each captured layer. */
  run(
    tokens: readonly number[],
    visit: (layer: number, position: number, captured: Captured) => void,
  ): Promise<void>;
  close(): void;
}

/** Makes a capture of a plan's layers; `layers` ascend. */
export async function makeCapture(runner: Runner, plan: Plan, layers: readonly number[]): Promise<Capture> {
  const { parts, ledger } = runner;
  const { scratch, config } = parts;
  const d = config.hiddenSize;
  const padded = stride(d);
  const rowBytes = 4 * padded;
  const states = 2 * layers.length;
  const walk = await makeWalk(runner, plan, layers);
  const staging = ledger.buffer(
    'captured states',
    states * scratch.rows * rowBytes,
    'scratch',
    GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  );
  const [x, z, a] = [new Float64Array(d), new Float64Array(d), new Float64Array(d)];
  return {
    run: (tokens, visit) =>
      walk.run(
        tokens,
        ({ encoder, index, step }) => {
          const bytes = step.rows * rowBytes;
          encoder.copyBufferToBuffer(scratch.x.buffer, 0, staging, index * bytes, bytes);
        },
        async (rows, at) => {
          const bytes = states * rows * rowBytes;
          await staging.mapAsync(GPUMapMode.READ, 0, bytes);
          const values = new Float32Array(staging.getMappedRange(0, bytes).slice(0));
          staging.unmap();
          layers.forEach((layer, l) => {
            for (let r = 0; r < rows; r++) {
              const before = (2 * l * rows + r) * padded;
              const after = before + rows * padded;
              let square = 0;
              for (let i = 0; i < d; i++) {
                x[i] = values[before + i]!;
                a[i] = values[after + i]! - x[i]!;
                square += x[i]! * x[i]!;
              }
              const scale = 1 / Math.sqrt(square / d + config.rmsNormEps);
              for (let i = 0; i < d; i++) z[i] = x[i]! * scale;
              visit(layer, at + r, { x, z, a });
            }
          });
        },
      ),
    close() {
      walk.close();
      ledger.release(staging);
    },
  };
}

import type { Runner } from '../engine/runner.ts';
import { throwIfLost } from '../gpu/device.ts';
import { type Dispatch, encode } from '../gpu/recorder.ts';
import { stride } from '../kernels/tensor.ts';
import { ROW_BYTES, recordBlocks } from '../model/forward.ts';
import type { Plan } from '../model/plan.ts';
import type { Pair } from './moments.ts';

/** Runs windows of tokens and reads hidden states back from between the two halves of each block. */
export interface Capture {
  /**
   * Runs one window from position 0 and gives, for each token and each captured layer, z = x / rms(x) of the block's input
   * and what its first half added to x. The vectors are written over by the next call of `visit`.
   */
  run(
    tokens: readonly number[],
    visit: (layer: number, position: number, pair: Pair & { x: Float64Array }) => void,
  ): Promise<void>;
  close(): void;
}

/** Launches up to the first half of each captured block, those of the half itself, and the rest. */
function split(dispatches: readonly Dispatch[], layers: readonly number[]): Dispatch[][] {
  const cuts: number[] = [];
  for (const layer of layers) {
    cuts.push(dispatches.findIndex(({ block }) => block === layer));
    // The MLP half begins with its norm or its first product, both labelled so.
    cuts.push(dispatches.findIndex(({ block, label }) => block === layer && label.startsWith('gate and up')));
  }
  return [0, ...cuts].map((from, i) => dispatches.slice(from, cuts[i] ?? dispatches.length));
}

/** Makes a capture of a plan's layers; `layers` ascend. */
export async function makeCapture(runner: Runner, plan: Plan, layers: readonly number[]): Promise<Capture> {
  const { parts, ledger } = runner;
  const { gpu, scratch, config } = parts;
  const { device } = gpu;
  const d = config.hiddenSize;
  const padded = stride(d);
  const rowBytes = 4 * padded;
  const rowsBuffer = ledger.storage('capture rows', ROW_BYTES * scratch.rows, 'scratch');
  const states = 2 * layers.length;
  const staging = ledger.buffer(
    'captured states',
    states * scratch.rows * rowBytes,
    'scratch',
    GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  );
  const lists = split(await recordBlocks(parts, plan, rowsBuffer, 'many'), layers);
  // What follows the last captured state is not needed.
  lists.pop();

  const chunk = async (tokens: readonly number[], at: number): Promise<Float32Array> => {
    throwIfLost(gpu);
    const rows = tokens.length;
    device.queue.writeBuffer(
      rowsBuffer,
      0,
      Uint32Array.from(tokens.flatMap((token, i) => [token, 0, at + i, 0])),
    );
    device.queue.writeBuffer(scratch.step, 0, new Uint32Array([rows, 0, 0, 0]));
    const encoder = device.createCommandEncoder();
    lists.forEach((list, i) => {
      const pass = encoder.beginComputePass();
      encode(pass, list, { rows, first: 0, count: 0, next: 0, context: at + rows });
      pass.end();
      encoder.copyBufferToBuffer(scratch.x.buffer, 0, staging, i * rows * rowBytes, rows * rowBytes);
    });
    device.queue.submit([encoder.finish()]);
    const bytes = states * rows * rowBytes;
    await staging.mapAsync(GPUMapMode.READ, 0, bytes);
    const values = new Float32Array(staging.getMappedRange(0, bytes).slice(0));
    staging.unmap();
    return values;
  };

  const [x, z, a] = [new Float64Array(d), new Float64Array(d), new Float64Array(d)];
  return {
    async run(tokens, visit) {
      for (let at = 0; at < tokens.length; at += scratch.rows) {
        const part = tokens.slice(at, at + scratch.rows);
        const values = await chunk(part, at);
        layers.forEach((layer, l) => {
          for (let r = 0; r < part.length; r++) {
            const before = (2 * l * part.length + r) * padded;
            const after = before + part.length * padded;
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
      }
    },
    close() {
      ledger.release(rowsBuffer);
      ledger.release(staging);
    },
  };
}

import type { Runner } from '../engine/runner.ts';
import { throwIfLost } from '../gpu/device.ts';
import { type Dispatch, encode, type StepShape, writeStep } from '../gpu/recorder.ts';
import { ROW_BYTES, recordBlocks } from '../model/forward.ts';
import type { Plan } from '../model/spec.ts';

/** A place where a forward stops: `scratch.x` holds the hidden states before or after the first half of a block. */
export interface Stop {
  /** With no pass open. */
  encoder: GPUCommandEncoder;
  layer: number;
  after: boolean;
  step: StepShape;
  /** Position of the first row. */
  at: number;
}

/** Runs windows of tokens through a plan, stopping before and after the first half of some of its blocks. */
export interface Walk {
  /** The rows (token, sequence, position) of a chunk. */
  readonly rows: GPUBuffer;
  /**
   * Runs one window from position 0, in chunks.
   * @param stop encodes what is wanted of the hidden states
   * @param submitted called for each chunk, before the next is encoded
   */
  run(
    tokens: readonly number[],
    stop: (stop: Stop) => void,
    submitted?: (rows: number, at: number) => Promise<void>,
  ): Promise<void>;
  close(): void;
}

/** Launches up to the first half of each block, those of the half itself, and the rest. */
function split(dispatches: readonly Dispatch[], layers: readonly number[]): Dispatch[][] {
  const cuts: number[] = [];
  for (const layer of layers) {
    cuts.push(dispatches.findIndex(({ block }) => block === layer));
    // The MLP half begins with its norm or its first product, both labelled so.
    cuts.push(dispatches.findIndex(({ block, label }) => block === layer && label.startsWith('gate and up')));
  }
  return [0, ...cuts].map((from, i) => dispatches.slice(from, cuts[i] ?? dispatches.length));
}

/** Encodes launches as a pass of their own. */
export function encodePass(
  encoder: GPUCommandEncoder,
  dispatches: readonly Dispatch[],
  step: StepShape,
): void {
  const pass = encoder.beginComputePass();
  encode(pass, dispatches, step);
  pass.end();
}

/** Makes a walk that stops at these layers; `layers` ascend. */
export async function makeWalk(
  { parts, ledger }: Runner,
  plan: Plan,
  layers: readonly number[],
): Promise<Walk> {
  const { gpu, scratch } = parts;
  const { queue } = gpu.device;
  const rowsBuffer = ledger.storage('walked rows', ROW_BYTES * scratch.rows, 'scratch');
  const lists = split(await recordBlocks(parts, plan, rowsBuffer, 'many'), layers);
  // What follows the last stop is not needed.
  lists.pop();
  return {
    rows: rowsBuffer,
    async run(tokens, stop, submitted) {
      for (let at = 0; at < tokens.length; at += scratch.rows) {
        throwIfLost(gpu);
        const part = tokens.slice(at, at + scratch.rows);
        const rows = part.length;
        const step = { rows, first: 0, count: 0, next: 0, context: at + rows };
        queue.writeBuffer(rowsBuffer, 0, Uint32Array.from(part.flatMap((token, i) => [token, 0, at + i, 0])));
        writeStep(gpu, scratch.step, step);
        const encoder = gpu.device.createCommandEncoder();
        lists.forEach((list, index) => {
          encodePass(encoder, list, step);
          stop({ encoder, layer: layers[Math.floor(index / 2)]!, after: index % 2 === 1, step, at });
        });
        queue.submit([encoder.finish()]);
        await submitted?.(rows, at);
      }
    },
    close: () => ledger.release(rowsBuffer),
  };
}

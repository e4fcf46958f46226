import type { Runner } from '../engine/runner.ts';
import { throwIfLost } from '../gpu/device.ts';
import { type Dispatch, encode, type StepShape, writeStep } from '../gpu/recorder.ts';
import { ROW_BYTES, recordBlocks } from '../model/forward.ts';
import type { Plan } from '../model/spec.ts';

/** Where a forward calls a hook: `scratch.x` holds the hidden states before or after a block's mixer (attention or linear map). */
export interface HookPoint {
  /** With no pass open. */
  encoder: GPUCommandEncoder;
  layer: number;
  after: boolean;
  step: StepShape;
  /** Position of the first row. */
  position: number;
}

/** Runs windows of tokens through a plan, with a hook before and after the mixer of some of its blocks. */
export interface HookedForward {
  /** The rows (token, sequence, position) of a chunk. */
  readonly rows: GPUBuffer;
  /**
   * Runs one window from position 0, in chunks.
   * @param hook encodes what is wanted of the hidden states
   * @param submitted called for each chunk, before the next is encoded
   */
  run(
    tokens: readonly number[],
    hook: (point: HookPoint) => void,
    submitted?: (rows: number, position: number) => Promise<void>,
  ): Promise<void>;
  close(): void;
}

/** Whether a launch opens a block's feed-forward: its norm or its first product, both labelled so. */
export const opensFeedForward = ({ label }: { label: string }): boolean => label.startsWith('gate and up');

/** Launches up to each hook. */
function split(dispatches: readonly Dispatch[], layers: readonly number[]): Dispatch[][] {
  const cuts = layers.flatMap((layer) => [
    dispatches.findIndex(({ block }) => block === layer),
    dispatches.findIndex((dispatch) => dispatch.block === layer && opensFeedForward(dispatch)),
  ]);
  return cuts.map((to, i) => dispatches.slice(i === 0 ? 0 : cuts[i - 1], to));
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

/** Makes a forward with hooks at these layers, which ascend. */
export async function makeHookedForward(
  { parts, ledger }: Runner,
  plan: Plan,
  layers: readonly number[],
): Promise<HookedForward> {
  const { gpu, scratch } = parts;
  const { queue } = gpu.device;
  const rowsBuffer = ledger.storage('hooked rows', ROW_BYTES * scratch.rows, 'scratch');
  const lists = split(await recordBlocks(parts, plan, rowsBuffer, 'many'), layers);
  return {
    rows: rowsBuffer,
    async run(tokens, hook, submitted) {
      for (let position = 0; position < tokens.length; position += scratch.rows) {
        throwIfLost(gpu);
        const chunk = tokens.slice(position, position + scratch.rows);
        const rows = chunk.length;
        const step = { rows, first: 0, count: 0, next: 0, context: position + rows };
        const data = chunk.flatMap((token, i) => [token, 0, position + i, 0]);
        queue.writeBuffer(rowsBuffer, 0, Uint32Array.from(data));
        writeStep(gpu, scratch.step, step);
        const encoder = gpu.device.createCommandEncoder();
        lists.forEach((list, i) => {
          encodePass(encoder, list, step);
          hook({ encoder, layer: layers[Math.floor(i / 2)]!, after: i % 2 === 1, step, position });
        });
        queue.submit([encoder.finish()]);
        await submitted?.(rows, position);
      }
    },
    close: () => ledger.release(rowsBuffer),
  };
}

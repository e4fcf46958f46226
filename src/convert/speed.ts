import { interleaved, timeDecode } from '../bench/measure.ts';
import type { Spread } from '../bench/stats.ts';
import type { OnGpu } from './on-gpu.ts';

/** Time of a decoded token, parent and child in turn. */
export interface Speed {
  /** Place in the context. */
  position: number;
  /** ms a token. */
  decode: { parent: Spread; child: Spread };
  adapter: string;
  /** The adapter is a CPU's: such times say little of a GPU. */
  software: boolean;
}

const STEPS = 16;
const REPETITIONS = 7;
const POSITION = 128;

/** Times decoding at one position of both models. */
export async function measureSpeed(
  parent: OnGpu,
  child: OnGpu,
  signal?: AbortSignal | undefined,
): Promise<Speed> {
  const { gpu, kv } = parent.runner.parts;
  const steps = Math.min(STEPS, Math.floor(kv.context / 4));
  const position = Math.min(POSITION, Math.floor(kv.context / 2));
  const [parentMs, childMs] = await interleaved([parent, child], REPETITIONS, (model) =>
    timeDecode(model, position, steps, signal),
  );
  return {
    position,
    decode: { parent: parentMs!, child: childMs! },
    adapter: gpu.name,
    software: gpu.software,
  };
}

import { interleaved, type Timed, timeDecode } from '../bench/measure.ts';
import type { Spread } from '../bench/stats.ts';

/** Models that are timed in turn: the child, its parent, and the parent in modes on the way there. */
export interface TimedModels<T> {
  parent: T;
  dropped?: T | undefined;
  linear?: T | undefined;
  child: T;
}

/** Time of a decoded token. */
export interface Speed {
  /** Place in the context. */
  position: number;
  /** ms a token. */
  decode: TimedModels<Spread>;
  adapter: string;
  /** The adapter is a CPU's: such times say little of a GPU. */
  software: boolean;
}

const STEPS = 16;
const REPETITIONS = 7;
const POSITION = 128;

/** Times decoding at one position of all models. */
export async function measureSpeed(
  models: TimedModels<Timed>,
  signal?: AbortSignal | undefined,
): Promise<Speed> {
  const { gpu, kv } = models.parent.runner.parts;
  const steps = Math.min(STEPS, Math.floor(kv.context / 4));
  const position = Math.min(POSITION, Math.floor(kv.context / 2));
  const there = Object.entries(models).filter(
    (entry): entry is [keyof TimedModels<Timed>, Timed] => entry[1] !== undefined,
  );
  const spreads = await interleaved(
    there.map(([, model]) => model),
    REPETITIONS,
    (model) => timeDecode(model, position, steps, signal),
  );
  return {
    position,
    decode: Object.fromEntries(
      there.map(([name], i) => [name, spreads[i]!]),
    ) as unknown as TimedModels<Spread>,
    adapter: gpu.name,
    software: gpu.software,
  };
}

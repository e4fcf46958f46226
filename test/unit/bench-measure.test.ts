// Times of decoding, by a clock that is told how long a step takes.
import { afterEach, expect, test, vi } from 'vitest';
import { type Timed, timeDecode } from '../../src/bench/measure.ts';
import type { Sampled } from '../../src/engine/sampler.ts';
import { planOf } from '../../src/model/spec.ts';
import { tinyModel } from '../support/tiny-models.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

/** An engine whose steps take `stepMs` and whose tokens reach the host `together` at a time. */
function engine(stepMs: number, together: number): { session: Timed; asked: number[] } {
  let now = 1000;
  vi.spyOn(performance, 'now').mockImplementation(() => now);
  const asked: number[] = [];
  const chosen: Sampled = { tokens: new Uint32Array(1), logprobs: undefined, notes: undefined };
  const runner = {
    sequences: 1,
    async prefill() {
      now += 500;
      return chosen;
    },
    async *decode(_plan: unknown, _kind: unknown, position: number, { steps }: { steps: number }) {
      asked.push(position, steps);
      for (let done = 0; done < steps; done++) {
        if (done % together === 0) now += stepMs * Math.min(together, steps - done);
        yield chosen;
      }
    },
  };
  const { spec } = tinyModel('llama', 1);
  const session = { runner, spec, plan: planOf(spec) } as unknown as Timed;
  return { session, asked };
}

test.each([1, 2, 3, 8])('%i steps take their time, however their tokens arrive', async (steps) => {
  for (const together of [1, 2]) {
    const { session, asked } = engine(10, together);
    expect(await timeDecode(session, 20, steps)).toBeCloseTo(10);
    expect(asked).toEqual([20, steps]);
  }
});

test('an aborted measurement ends with the step that is under way', async () => {
  const { session } = engine(10, 1);
  const controller = new AbortController();
  const timed = timeDecode(session, 20, 1000, controller.signal);
  controller.abort();
  await expect(timed).rejects.toMatchObject({ code: 'aborted' });
});

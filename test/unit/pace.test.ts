// How many steps are in flight: so many that the GPU has work while a token travels, from two to four.
import { expect, test } from 'vitest';
import { inFlightFor, Pace } from '../../src/engine/pace.ts';

test.each([
  [0, 10, 2],
  [1, 10, 2],
  [10, 10, 2],
  [11, 10, 3],
  [20, 10, 3],
  [21, 10, 4],
  [500, 10, 4],
  [5, 0, 4],
  [0, 0, 2],
])('a latency of %d ms and steps of %d ms: %i', (latencyMs, stepMs, expected) => {
  expect(inFlightFor(latencyMs, stepMs)).toBe(expected);
});

/** A GPU that runs steps of `stepMs` in turn, and whose word, with the next submit, takes `latencyMs`. */
function run(latencyMs: number, stepMs: number, steps: number): number[] {
  let now = 0;
  const pace = new Pace(
    () => latencyMs,
    () => now,
  );
  const taken: number[] = [];
  const lands: number[] = [];
  let free = 0;
  const submit = (): void => {
    free = Math.max(free, now) + stepMs;
    lands.push(free + latencyMs);
  };
  for (let i = 0; i < steps; i++) {
    while (lands.length < pace.inFlight) submit();
    now = lands[0]!;
    pace.landed(lands.length);
    lands.shift();
    taken.push(pace.inFlight);
  }
  return taken;
}

test('two at first, then what the latency asks for', () => {
  expect(run(0.5, 10, 30)).toEqual(Array(30).fill(2));
  expect(run(15, 10, 30).at(-1)).toBe(3);
  expect(run(15, 10, 30).slice(0, 8)).toEqual(Array(8).fill(2));
  expect(run(30, 10, 30).at(-1)).toBe(4);
});

test('steps that become longer need fewer in flight', () => {
  let now = 0;
  const pace = new Pace(
    () => 10,
    () => now,
  );
  const land = (ms: number, times: number): number => {
    for (let i = 0; i < times; i++) {
      now += ms;
      pace.landed(4);
    }
    return pace.inFlight;
  };
  expect(land(4, 12)).toBe(4);
  expect(land(40, 12)).toBe(2);
});

test('words that come two at a time count by their mean; of a step alone the time tells nothing', () => {
  let now = 0;
  const pace = new Pace(
    () => 4,
    () => now,
  );
  for (let i = 0; i < 20; i++) {
    if (i % 2 === 0) now += 20;
    pace.landed(2);
  }
  expect(pace.inFlight).toBe(2);
  const alone = new Pace(
    () => 4,
    () => now,
  );
  for (let i = 0; i < 20; i++) {
    now += 1;
    alone.landed(1);
  }
  expect(alone.inFlight).toBe(2);
});

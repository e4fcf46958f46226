// Whose turn it is, and which slot a sequence gets: on a runner without a GPU.
import { describe, expect, test } from 'vitest';
import { checkOptions } from '../../src/engine/options.ts';
import { PrefixCache } from '../../src/engine/prefix-cache.ts';
import { Scheduler } from '../../src/engine/scheduler.ts';
import { Sequence } from '../../src/engine/sequence.ts';
import type { GenerateOptions } from '../../src/engine/types.ts';
import { ShishuError } from '../../src/errors.ts';
import type { LoadedAdapter } from '../../src/model/adapters.ts';
import type { Plan } from '../../src/model/spec.ts';
import { FakeRunner } from '../support/fake-runner.ts';

const VOCAB = 100;
const FULL: Plan = [0, 1, 2].map((layer) => ({ kind: 'attention', layer, mlp: layer }));
const SKIP: Plan = FULL.map((block) => (block.layer === 1 ? { ...block, kind: 'mlp' } : block));

/** Windows of two widths, and what a forward of four rows needs beside them. */
const RINGS = new Map([
  [0, { window: 5, capacity: 9 }],
  [1, { window: 3, capacity: 7 }],
]);

function setUp(
  sequences: number,
  { rows = 8, rings, inFlight = 2 }: { rows?: number; rings?: typeof RINGS; inFlight?: number } = {},
) {
  const runner = new FakeRunner(sequences, 3, rows, rings);
  runner.pace = { inFlight };
  const ready = async (): Promise<void> => {
    for (let i = 0; i < 5; i++) await Promise.resolve();
  };
  const scheduler = new Scheduler(runner.asRunner(), { ready, still() {} });
  return { runner, scheduler };
}

interface Call {
  prompt: readonly number[];
  most?: number;
  n?: number;
  plan?: () => Plan;
  options?: GenerateOptions;
  adapter?: LoadedAdapter | undefined;
  /** After each token of the first reply. */
  each?: (count: number) => unknown;
}

/** As replies are made, without their text. */
async function reply(
  scheduler: Scheduler,
  { prompt, most = 4, n = 1, plan = () => FULL, options = {}, adapter, each = () => {} }: Call,
): Promise<{ tokens: number[][]; cached: number; slots: number[] }> {
  const checked = checkOptions(options, VOCAB);
  const sequences = Array.from(
    { length: n },
    (_, reply) =>
      new Sequence({
        promptTokenIds: prompt,
        options: checked,
        reply,
        enders: new Set(),
        limit: most,
        constraint: undefined,
        plan,
        adapter,
      }),
  );
  const tokens = sequences.map((): number[] => []);
  try {
    await scheduler.admit(sequences, checked.signal);
    const slots = sequences.map(({ slot }) => slot!.index);
    for (let i = 0; i < most; i++) {
      for (const [j, sequence] of sequences.entries())
        tokens[j]!.push(await scheduler.next(sequence, ({ tokenId }) => tokenId));
      await each(i + 1);
    }
    return { tokens, cached: sequences[0]!.cachedTokens!, slots };
  } finally {
    for (const sequence of sequences) scheduler.leave(sequence);
  }
}

const ADAPTERS: LoadedAdapter[] = [
  { id: 1, bytes: 0 },
  { id: 2, bytes: 0 },
];

const text = (length: number, seed: number): number[] =>
  Array.from({ length }, (_, i) => (seed * 37 + i * i * 11 + i) % 90);

test('replies of one prompt get no K and V of layers that the prompt did not run in', async () => {
  const { runner, scheduler } = setUp(2);
  const prompt = text(20, 1);
  await reply(scheduler, { prompt });
  await reply(scheduler, { prompt: [...prompt, 5], n: 2, plan: () => SKIP });
  await Promise.all([reply(scheduler, { prompt }), reply(scheduler, { prompt })]);
  expect(runner.wrong).toEqual([]);
});

test('a reset while a prompt runs leaves nothing of it in the slots of its replies', async () => {
  const { runner, scheduler } = setUp(2);
  const prompt = text(20, 1);
  const forget = (): void => {
    for (const slot of scheduler.slots) slot.prefix = new PrefixCache();
  };
  const made = reply(scheduler, { prompt, n: 2 });
  while (runner.rows === 0) await Promise.resolve();
  forget();
  const { tokens } = await made;
  expect(tokens[1]).toEqual(tokens[0]);
  expect(scheduler.slots.map(({ prefix }) => prefix.length)).toEqual([0, 0]);
});

test('a text that shares a short beginning with another leaves it its slot, while one is empty or longer unused', async () => {
  const { runner, scheduler } = setUp(3);
  const prefix = text(8, 1);
  const [a, b, c, d] = [2, 3, 4, 5].map((seed) => [...prefix, ...text(30, seed)]) as [
    number[],
    number[],
    number[],
    number[],
  ];
  const slotOf = async (prompt: readonly number[], most = 4): Promise<number> =>
    (await reply(scheduler, { prompt, most })).slots[0]!;
  expect([await slotOf(a), await slotOf(b), await slotOf(c)]).toEqual([0, 1, 2]);
  // Each goes on where it was.
  for (const [i, prompt] of [a, b, c].entries()) {
    const { tokens } = await reply(scheduler, { prompt });
    const further = await reply(scheduler, { prompt: [...prompt, ...tokens[0]!, 1, 2] });
    expect(further).toMatchObject({ slots: [i], cached: prompt.length + 3 });
  }
  // The one that was not used for longest goes.
  expect(await slotOf(d)).toBe(0);
  // The same prompt again is the same text, however long its reply was.
  expect(await slotOf(b, 60)).toBe(1);
  expect(await slotOf(c)).toBe(2);
  expect(await slotOf(d)).toBe(0);
  expect(await slotOf(b)).toBe(1);
  expect(runner.wrong).toEqual([]);
});

test('a reply is made anew in its slot where it is shorter than its prompt, else in an empty one', async () => {
  const { scheduler } = setUp(2);
  const [short, long] = [text(10, 1), text(30, 2)];
  await reply(scheduler, { prompt: long, most: 8 });
  expect(await reply(scheduler, { prompt: long, most: 40 })).toMatchObject({ slots: [0], cached: 29 });
  const { slots } = await reply(scheduler, { prompt: short, most: 40 });
  expect(slots).toEqual([1]);
});

test('what runs alone empties the slots that hold least, and that nobody took for longest', async () => {
  const { scheduler } = setUp(3);
  await reply(scheduler, { prompt: text(10, 1) });
  await reply(scheduler, { prompt: text(12, 2) });
  const indices = (most: number): number[] => scheduler.vacate(most).map(({ index }) => index);
  expect(indices(1)).toEqual([2]);
  // As a score leaves it: the next one takes it again.
  scheduler.slots[2]!.prefix.append([1, 2, 3], FULL);
  expect(indices(1)).toEqual([2]);
  expect(indices(2)).toEqual([2, 0]);
  expect(scheduler.slots.map(({ prefix }) => prefix.length > 0)).toEqual([false, true, false]);
  expect(indices(9)).toHaveLength(3);
});

test('a slot that was forgotten is taken before one that is full', async () => {
  const { scheduler } = setUp(2);
  await reply(scheduler, { prompt: text(10, 1) });
  await reply(scheduler, { prompt: text(10, 2) });
  scheduler.slots[1]!.prefix = new PrefixCache();
  expect((await reply(scheduler, { prompt: text(10, 3) })).slots).toEqual([1]);
});

describe('what does not fit an f16 cache', () => {
  const unsupported = { code: 'unsupported' };

  test('is told again where the same text is asked for again', async () => {
    const { runner, scheduler } = setUp(1);
    runner.most = 96;
    const prompt = [...text(12, 1), 98, ...text(12, 2)];
    await expect(reply(scheduler, { prompt })).rejects.toMatchObject(unsupported);
    await expect(reply(scheduler, { prompt })).rejects.toMatchObject(unsupported);
    await reply(scheduler, { prompt: text(12, 1) });
  });

  test('is told where the prompt was aborted before its end', async () => {
    const { runner, scheduler } = setUp(1);
    runner.most = 96;
    const prompt = [98, ...text(60, 2)];
    const abort = new AbortController();
    const first = reply(scheduler, { prompt, options: { signal: abort.signal } });
    while (runner.rows < 16) await Promise.resolve();
    abort.abort();
    await expect(first).rejects.toThrow();
    await expect(reply(scheduler, { prompt })).rejects.toMatchObject(unsupported);
  });
});

test('what waits to be alone does not run when its model is gone', async () => {
  let gone = false;
  const scheduler = new Scheduler(new FakeRunner(1, 3, 8).asRunner(), {
    ready: async () => {},
    still() {
      if (gone) throw new ShishuError('device-lost', 'Gone.');
    },
  });
  let ran = false;
  const made = reply(scheduler, { prompt: text(3, 1), each: () => new Promise(() => {}) });
  const waiting = scheduler.alone(async () => {
    ran = true;
  });
  gone = true;
  scheduler.close();
  await expect(waiting).rejects.toMatchObject({ code: 'device-lost' });
  expect(ran).toBe(false);
  void made.catch(() => {});
});

const sequenceOf = (promptTokenIds: readonly number[], limit: number, options: GenerateOptions = {}) =>
  new Sequence({
    promptTokenIds,
    options: checkOptions(options, VOCAB),
    reply: 0,
    enders: new Set(),
    limit,
    constraint: undefined,
    plan: () => FULL,
  });

test('sequences may leave at any moment of a step', async () => {
  const { runner, scheduler } = setUp(2);
  const expected = await reply(scheduler, { prompt: text(20, 9), most: 6 });
  for (let moment = 0; moment < 60; moment++) {
    const abort = new AbortController();
    const left = sequenceOf(text(20, moment), 9, { signal: abort.signal });
    await scheduler.admit([left], abort.signal);
    const reading = (async () => {
      for (let i = 0; i < 9; i++) await scheduler.next(left, () => {});
    })().catch(() => {});
    for (let i = 0; i < moment; i++) await Promise.resolve();
    abort.abort();
    scheduler.leave(left);
    const rows = scheduler.alone(async () => {
      const before = runner.rows;
      for (let i = 0; i < 30; i++) await Promise.resolve();
      return runner.rows - before;
    });
    const next = reply(scheduler, { prompt: text(20, 9), most: 6 });
    expect(await rows, `left at ${moment}`).toBe(0);
    expect((await next).tokens).toEqual(expected.tokens);
    await reading;
  }
  expect(runner.wrong).toEqual([]);
});

test('a sequence that comes as all others leave gets a step', async () => {
  const expected = await reply(setUp(1).scheduler, { prompt: text(20, 9), most: 6 });
  for (let moment = 0; moment < 12; moment++)
    for (let wait = 0; wait < 3; wait++) {
      const { scheduler } = setUp(2);
      const left = sequenceOf(text(4, 1), 9);
      await scheduler.admit([left]);
      // All that was begun has been read.
      while (left.tokens.length < 4 + 9) await scheduler.next(left, () => {});
      const coming = reply(scheduler, { prompt: text(20, 9), most: 6 });
      for (let i = 0; i < moment; i++) await Promise.resolve();
      const last = scheduler.next(left, () => {}).catch(() => {});
      for (let i = 0; i < wait; i++) await Promise.resolve();
      scheduler.leave(left);
      expect((await coming).tokens).toEqual(expected.tokens);
      await last;
    }
});

describe('with rings', () => {
  const rings = { rows: 4, rings: RINGS };

  test('a conversation that goes on runs what is new alone; one that goes back runs whole', async () => {
    const { runner, scheduler } = setUp(1, rings);
    const prompt = text(30, 1);
    const { tokens } = await reply(scheduler, { prompt, most: 9 });
    const longer = [...prompt, ...tokens[0]!, ...text(7, 2)];
    expect(await reply(scheduler, { prompt: longer, most: 9 })).toMatchObject({ cached: 38 });
    // What followed the first reply was another message; then only another last word.
    const edited = [...longer.slice(0, 40), ...text(6, 3)];
    const again = await reply(scheduler, { prompt: edited, most: 1 });
    expect(again.cached).toBe(0);
    expect(again.tokens).toEqual((await reply(setUp(1).scheduler, { prompt: edited, most: 1 })).tokens);
    expect(await reply(scheduler, { prompt: edited, most: 1 })).toMatchObject({ cached: 45 });
    expect(await reply(scheduler, { prompt: [...edited.slice(0, -1), 4], most: 1 })).toMatchObject({
      cached: 45,
    });
    expect(await reply(scheduler, { prompt: [...edited.slice(0, -8), 4], most: 1 })).toMatchObject({
      cached: 0,
    });
    expect(runner.wrong).toEqual([]);
  });

  test('replies of one prompt get its rings', async () => {
    const { runner, scheduler } = setUp(3, rings);
    const { tokens } = await reply(scheduler, { prompt: text(30, 1), n: 3, most: 20 });
    expect(tokens[1]).toEqual(tokens[0]);
    expect(tokens[2]).toEqual(tokens[0]);
    expect(runner.wrong).toEqual([]);
  });

  test('where no block with a ring attends, nothing of it is missed', async () => {
    const { scheduler } = setUp(1, { rows: 4, rings: new Map([[1, { window: 3, capacity: 7 }]]) });
    const prompt = text(30, 1);
    const plan = (): Plan => SKIP;
    await reply(scheduler, { prompt, most: 20, plan });
    expect(await reply(scheduler, { prompt, plan })).toMatchObject({ cached: 29 });
  });
});

test.each([
  ['whole caches', undefined, 1],
  ['rings', RINGS, 2],
])(
  'calls at random, with adapters, resets, changes of modes and aborts: none attends to what is not its own (%s)',
  async (_, rings, seed) => {
    const expected = new Map<string, number[]>();
    const alone = async (prompt: readonly number[]): Promise<number[]> => {
      const key = prompt.join();
      if (!expected.has(key))
        expected.set(key, (await reply(setUp(1).scheduler, { prompt, most: 12 })).tokens[0]!);
      return expected.get(key)!;
    };
    let state = seed;
    let cached = 0;
    const random = (below: number): number => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    for (const sequences of [1, 2, 3]) {
      const inFlight = 1 + sequences;
      const { runner, scheduler } = setUp(sequences, { rows: 4, inFlight, ...(rings && { rings }) });
      let running = FULL;
      const client = async (): Promise<void> => {
        for (let i = 0; i < 40; i++) {
          const prompt = [...text(12, 1 + random(5)), ...text(1 + random(4), random(3))];
          const n = 1 + random(sequences);
          const abort = new AbortController();
          const own = [FULL, SKIP][random(2)]!;
          const stop = random(4) === 0 ? 1 + random(10) : 99;
          const plan = random(2) === 0 ? () => own : () => running;
          const adapter = [undefined, undefined, ...ADAPTERS][random(4)];
          const options = { signal: abort.signal };
          const call: Call = { prompt, most: 1 + random(12), n, plan, options, adapter };
          const each = (count: number): void => {
            if (count === stop) abort.abort();
            if (random(20) === 0) running = [FULL, SKIP][random(2)]!;
            if (random(20) === 0) for (const slot of scheduler.slots) slot.prefix = new PrefixCache();
          };
          const made = await reply(scheduler, { ...call, each }).catch((error: unknown) => {
            expect(error).toMatchObject({ code: 'aborted' });
          });
          cached += made?.cached ?? 0;
          for (const tokens of made?.tokens ?? [])
            expect(tokens).toEqual((await alone(prompt)).slice(0, call.most));
          if (random(6) === 0) await scheduler.alone(async () => {});
        }
      };
      await Promise.all([client(), client(), client(), client()]);
      expect(runner.wrong).toEqual([]);
      expect(cached).toBeGreaterThan(0);
      // No slot is lost.
      await scheduler.alone(async () => {});
    }
  },
);

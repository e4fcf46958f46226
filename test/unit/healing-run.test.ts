// Long runs of healing: stopped and gone on with, losses that are not finite, full disks. The trainer is a fake whose weights are
// sums of what it was given, so that one batch more, fewer or in another order shows.
import { describe, expect, it } from 'vitest';
import { readHealing, writeHealing } from '../../src/convert/healing-file.ts';
import {
  type HealingRun,
  type HealingTrainer,
  type KeptHealing,
  runHealing,
} from '../../src/convert/healing-run.ts';
import { stageMemory } from '../../src/convert/memory-folder.ts';
import { mixed } from '../../src/convert/mixture.ts';
import { mixtureOf } from '../../src/convert/windows.ts';
import { ShishuError } from '../../src/errors.ts';
import { type Batch, BatchStream } from '../../src/train/batches.ts';
import type { Snapshot, Start } from '../../src/train/trainer.ts';
import type { CpuWeights } from '../../src/train/weights.ts';

const STEPS = 24;
const weightsOf = (...values: number[]): CpuWeights => ({
  w: { shape: [values.length], data: Float32Array.from(values) },
});

interface FakeOptions {
  /** The loss of a step that is about to be done. */
  lossOf?: (step: number, rate: number) => number;
  /** Held-out loss behind a step. */
  heldOutOf?: (step: number, rate: number) => number;
  rates?: number[];
  seen?: number[][];
}

function fakeTrainer(start: Start, rate: number, options: FakeOptions): HealingTrainer & { gone: boolean } {
  let step = start.step ?? 0;
  let weights = Float32Array.from(start.weights.w!.data);
  let first = Float32Array.from(start.first?.w?.data ?? [0]);
  options.rates?.push(rate);
  const trainer = {
    gone: false,
    get step() {
      return step;
    },
    async train(batch: Batch) {
      const loss = options.lossOf?.(step + 1, rate) ?? 1 / (step + 1);
      if (!Number.isFinite(loss)) return { loss, norm: 1 };
      options.seen?.push([...batch.tokens]);
      const sum = batch.tokens.reduce((a, b, i) => a + b * ((i % 7) + 1), 0);
      first = Float32Array.of(0.5 * first[0]! + sum);
      weights = Float32Array.of(weights[0]! * 0.9 + (rate * first[0]!) / 1000);
      step++;
      return { loss, norm: 1 };
    },
    loss: async () => options.heldOutOf?.(step, rate) ?? weights[0]!,
    weights: async () => weightsOf(...weights),
    snapshot: async (): Promise<Snapshot> => ({
      step,
      weights: weightsOf(...weights),
      first: weightsOf(...first),
      second: weightsOf(0),
    }),
    dispose() {
      trainer.gone = true;
    },
  };
  return trainer;
}

const mixture = [
  { name: 'a', weight: 3, windows: Array.from({ length: 9 }, (_, i) => [i, i + 1, i + 2, i + 3, i + 4]) },
  { name: 'b', weight: 1, windows: Array.from({ length: 5 }, (_, i) => [90 + i, 80 + i, 70 + i]) },
];

function runOf(options: FakeOptions & Partial<HealingRun> = {}) {
  const staged = stageMemory('work');
  const made: ReturnType<typeof fakeTrainer>[] = [];
  const lines: string[] = [];
  const run: HealingRun = {
    steps: STEPS,
    learningRate: 0.5,
    begin: async () => ({ weights: weightsOf(2) }),
    async make(start, rate) {
      made.push(fakeTrainer(start, rate, options));
      return made.at(-1)!;
    },
    stream: (state) => new BatchStream(mixed(mixture, 3), { rows: 2, length: 6, pad: 0 }, state),
    heldOut: [],
    minutes: 1000,
    store: {
      read: () => readHealing(staged),
      write: (kept: KeptHealing) => writeHealing(staged, kept),
    },
    log: (line) => lines.push(line),
    ...options,
  };
  return { run, staged, made, lines };
}

describe('a run that is stopped', () => {
  it.each([1, 7, 23])(
    'behind step %i goes on with the very same batches, to the very same weights',
    async (at) => {
      const whole: number[][] = [];
      const { weights, state } = await runHealing(runOf({ seen: whole }).run);
      const seen: number[][] = [];
      const stop = new AbortController();
      const { run, made, lines } = runOf({
        seen,
        signal: stop.signal,
        lossOf: (step) => {
          if (step === at) stop.abort();
          return 1 / step;
        },
      });
      await expect(runHealing(run)).rejects.toMatchObject({ code: 'aborted' });
      expect(seen).toHaveLength(at);
      const { signal: _, ...again } = run;
      const resumed = await runHealing(again);
      expect(lines).toContain(`healing: going on behind step ${at} of ${STEPS}`);
      expect(seen).toEqual(whole);
      expect(resumed.weights).toEqual(weights);
      expect({ ...resumed.state, seconds: 0 }).toEqual({ ...state, seconds: 0 });
      expect(made.map(({ gone }) => gone)).toEqual([true, true]);
    },
  );

  it('writes a checkpoint each time the minutes are over, and its curve has held-out losses', async () => {
    const steps: number[] = [];
    const { run, staged } = runOf({ minutes: 0 });
    const told: number[] = [];
    const onCurve = (curve: readonly object[]): void => void told.push(curve.length);
    const { state } = await runHealing({
      ...run,
      onCurve,
      heldOut: [run.stream(undefined).next()],
      store: {
        ...run.store!,
        async write(kept) {
          steps.push(kept.snapshot.step);
          await run.store!.write(kept);
        },
      },
    });
    expect(steps).toEqual(Array.from({ length: STEPS }, (_, i) => i + 1));
    expect((await readHealing(staged))!.snapshot.step).toBe(STEPS);
    // What comes behind a run may fail: it is not done again.
    expect(told).toEqual(steps);
    const { weights } = await runHealing({
      ...run,
      onCurve,
      begin: () => Promise.reject(new Error('again')),
    });
    // The curve of before is told of a run that goes on.
    expect(told.at(-1)).toBe(STEPS);
    expect(told).toHaveLength(STEPS + 1);
    expect(weights).toEqual((await readHealing(staged))!.snapshot.weights);
    expect(state.curve.map(({ step }) => step)).toEqual(Array.from({ length: STEPS }, (_, i) => i + 1));
    const measured = state.curve.filter(({ heldOut }) => heldOut !== undefined);
    expect(measured.length).toBeGreaterThanOrEqual(STEPS / 2);
    expect(measured.at(-1)!.step).toBe(STEPS);
    expect(state.curve.at(-1)!.tokens).toBe(state.tokens);
  });
});

describe('a loss that is not finite', () => {
  it('takes the step back and halves the rate, and the same batch is trained on again', async () => {
    const [whole, seen, rates]: [number[][], number[][], number[]] = [[], [], []];
    await runHealing(runOf({ seen: whole }).run);
    const { run, lines } = runOf({
      seen,
      rates,
      minutes: 0,
      lossOf: (step, rate) => (step === 9 && rate > 0.2 ? Number.NaN : 1),
    });
    const { state } = await runHealing(run);
    expect(rates).toEqual([0.5, 0.25, 0.125]);
    expect(seen).toEqual(whole);
    expect(state.halvings).toBe(2);
    expect(state.stopped).toBeUndefined();
    expect(state.curve).toHaveLength(STEPS);
    const said = /loss of step 9 is not finite: back to step 8, with half the learning rate/;
    expect(lines.filter((line) => said.test(line))).toHaveLength(2);
  });

  it('takes back all steps since the last checkpoint, and to the beginning without one', async () => {
    const seen: number[][] = [];
    const { run, lines } = runOf({
      seen,
      lossOf: (step, rate) => (step === 9 && rate > 0.4 ? Number.POSITIVE_INFINITY : 1),
    });
    const { weights } = await runHealing(run);
    expect(lines.join()).toMatch(/back to step 0/);
    expect(seen).toHaveLength(8 + STEPS);
    expect(seen.slice(8, 16)).toEqual(seen.slice(0, 8));
    const slow = await runHealing(runOf({ learningRate: 0.25 }).run);
    expect(weights).toEqual(slow.weights);
  });

  it('is found before the weights that cause it are kept', async () => {
    const kept: number[] = [];
    const { run, lines } = runOf({
      minutes: 0,
      // The weights of step 5 overflow, whose own loss was that of the weights before.
      heldOutOf: (step, rate) => (step === 5 && rate > 0.4 ? Number.NaN : 1),
    });
    const stream = run.stream(undefined);
    const { state } = await runHealing({
      ...run,
      heldOut: [stream.next()],
      store: {
        ...run.store!,
        async write(checkpoint) {
          kept.push(checkpoint.snapshot.step);
          await run.store!.write(checkpoint);
        },
      },
    });
    expect(lines.join()).toMatch(/step 5 is not finite: back to step 4/);
    expect(kept.filter((step) => step === 5)).toHaveLength(1);
    expect(state.halvings).toBe(1);
  });

  it('ends the run after the third halving, with the last good child', async () => {
    const rates: number[] = [];
    const { run, made, lines } = runOf({
      rates,
      minutes: 0,
      lossOf: (step) => (step === 9 ? Number.NaN : 1),
    });
    const { state, weights } = await runHealing(run);
    expect(rates.slice(0, 4)).toEqual([0.5, 0.25, 0.125, 0.0625]);
    expect(state.stopped).toMatch(/not finite.*that of step 8/);
    expect(lines.at(-1)).toBe(`healing: ${state.stopped}`);
    const good = await runHealing(runOf({ steps: 8, lossOf: () => 1 }).run);
    expect(weights).toEqual(good.weights);
    expect(made.every(({ gone }) => gone)).toBe(true);
  });
});

it('a checkpoint that cannot be written ends the run, and the one before is whole', async () => {
  let writes = 0;
  const { run, staged, made } = runOf({ minutes: 0 });
  const full: HealingRun = {
    ...run,
    store: {
      ...run.store!,
      async write(kept) {
        if (++writes === 4) throw new ShishuError('io', 'ENOSPC');
        await run.store!.write(kept);
      },
    },
  };
  await expect(runHealing(full)).rejects.toMatchObject({ code: 'io' });
  expect(made.map(({ gone }) => gone)).toEqual([true]);
  expect((await readHealing(staged))!.snapshot.step).toBe(3);
  const { weights } = await runHealing(run);
  expect(weights).toEqual((await runHealing(runOf().run)).weights);
});

describe('a mixture', () => {
  it('has each part by its share of the tokens, every window once a pass, and the same for a seed', () => {
    const source = mixed(mixture, 5);
    const drawn = Array.from({ length: 4000 }, (_, i) => source(i).ids);
    const tokens = (of: (ids: number[]) => boolean): number =>
      drawn.filter(of).reduce((sum, ids) => sum + ids.length, 0);
    const isB = (ids: number[]): boolean => ids[0]! >= 90;
    expect(tokens(isB) / tokens(() => true)).toBeCloseTo(0.25, 1);
    const firstPass = drawn.filter((ids) => !isB(ids)).slice(0, 9);
    expect(new Set(firstPass.map((ids) => ids[0])).size).toBe(9);
    const again = mixed(mixture, 5);
    // Asked for in any order.
    expect(again(3000).ids).toEqual(drawn[3000]);
    expect(again(2).ids).toEqual(drawn[2]);
    const other = mixed(mixture, 6);
    expect(Array.from({ length: 40 }, (_, i) => other(i).ids)).not.toEqual(drawn.slice(0, 40));
  });

  it('of one text is that text', () => {
    const source = mixed(mixtureOf(mixture[0]!.windows), 5);
    const pass = Array.from({ length: 9 }, (_, i) => source(9 + i).ids[0]);
    expect([...pass].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  });
});

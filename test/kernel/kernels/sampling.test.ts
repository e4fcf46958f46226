// Choosing tokens: ties, how often each is drawn, penalties by what was said.
import { afterAll, describe, expect, test } from 'vitest';
import { drawn } from '../../../src/kernels/kept.ts';
import { maskWords } from '../../../src/kernels/logits.ts';
import { argmax, packSampler, type Sampler } from '../../../src/kernels/sample.ts';
import { adjust, sample } from '../../../src/kernels/sampling.ts';
import { stride } from '../../../src/kernels/tensor.ts';
import { defaultTuning } from '../../../src/kernels/tuning.ts';
import { argmax as argmaxTwin, topK } from '../../reference/kernels.ts';
import { keep, penalize, type SamplingOptions } from '../../reference/sampling.ts';
import { openTestGpu } from '../../support/gpu-features.ts';
import { expectClose, type Floats, Rig } from '../../support/gpu-rig.ts';

const gpu = await openTestGpu();
afterAll(() => gpu.close());

const VOCAB = 67;
const tuningOf = (vocabulary: number) => ({ ...defaultTuning(gpu), vocabulary });

const samplerOf = (options: SamplingOptions, seed: number): Sampler => ({
  temperature: options.temperature ?? 0,
  topP: options.topP ?? 1,
  minP: options.minP ?? 0,
  topK: options.topK ?? 0,
  repetitionPenalty: options.repetitionPenalty ?? 1,
  frequencyPenalty: options.frequencyPenalty ?? 0,
  presencePenalty: options.presencePenalty ?? 0,
  seed,
});

function uploadSamplers(rig: Rig, samplers: readonly Sampler[]): GPUBuffer {
  return rig.upload(
    'samplers',
    new Uint32Array(samplers.flatMap((s) => [...new Uint32Array(packSampler(s))])),
  );
}

/** A sampler as the twin has it. */
const wordsOf = ({ temperature, topP, minP, topK, seed }: Sampler) => ({
  sharpness: temperature === 0 ? 0 : Math.fround(1 / temperature),
  topP: Math.fround(topP),
  logMinP: minP === 0 ? -3e38 : Math.fround(Math.log(minP)),
  topK,
  seed,
});

/** Rows `first` up of the next step, as the runner keeps them: token and position of each sequence. */
const nextRows = (rig: Rig, count: number, position: (row: number) => number = () => 4): GPUBuffer =>
  rig.rows(Array.from({ length: count }, (_, r) => ({ token: 1, sequence: r, position: position(r) })));

describe('argmax', () => {
  /** Rows whose largest values tie: the lowest id wins. */
  function tiedRows(rig: Rig, vocab: number): Floats {
    const logits = rig.floats(5 * vocab);
    for (const id of [vocab - 1, 31, 32]) logits[id] = 5;
    for (const id of [vocab - 2, vocab - 1]) logits[vocab + id] = 5;
    logits.fill(-2.5, 2 * vocab, 3 * vocab);
    for (let i = 3 * vocab; i < 4 * vocab; i++) logits[i]! -= 50;
    return logits;
  }

  test.each([
    [16, VOCAB],
    [256, 301],
    [256, 2501],
  ])('%i threads, %i tokens', async (threads, vocab) => {
    const rig = new Rig(gpu);
    const values = tiedRows(rig, vocab);
    // Past the vocabulary, padding larger than any logit, which must not win.
    const padded = stride(vocab);
    const all = new Float32Array(5 * padded).fill(1e9);
    for (let r = 0; r < 5; r++) all.set(values.subarray(r * vocab, (r + 1) * vocab), r * padded);
    const logits = { buffer: rig.upload('logits', all), cols: vocab };
    const next = nextRows(rig, 7);
    const sampled = rig.upload('sampled', new Uint32Array(7).fill(99));
    const between = rig.between(5);
    const expected = [0, 1, 2, 3, 4].map((r) => argmaxTwin(values.subarray(r * vocab, (r + 1) * vocab)));
    expect(expected.slice(0, 3)).toEqual([31, vocab - 2, 0]);
    await rig.run([
      {
        step: { count: 5, next: 1 },
        record: (recorder, step) =>
          argmax(tuningOf(threads), recorder, { logits, next, sampled, step, between }),
        async check() {
          expect(await rig.wordsOf(sampled, 7)).toEqual([99, ...expected, 99]);
          const rows = await rig.wordsOf(next, 28);
          expect([0, 1, 5, 6].map((r) => rows.slice(4 * r, 4 * r + 3))).toEqual([
            [1, 0, 4],
            [expected[0], 1, 5],
            [expected[4], 5, 5],
            [1, 6, 4],
          ]);
        },
      },
    ]);
  });
});

/** Draws a token for each sampler from one row of logits. */
async function draw(
  logits: Floats,
  samplers: readonly Sampler[],
  { threads = 16, position }: { threads?: number; position?: (row: number) => number } = {},
): Promise<number[]> {
  const rig = new Rig(gpu);
  const rows = new Float32Array(samplers.length * logits.length);
  for (let r = 0; r < samplers.length; r++) rows.set(logits, r * logits.length);
  const count = samplers.length;
  const sampled = rig.upload('sampled', new Uint32Array(count).fill(0xffff));
  const choice = {
    logits: rig.activations(rows, logits.length),
    next: nextRows(rig, count, position),
    sampled,
    samplers: uploadSamplers(rig, samplers),
    between: rig.between(count),
  };
  let found: number[] = [];
  await rig.run([
    {
      step: { count },
      record: (recorder, step) => sample(tuningOf(threads), recorder, { ...choice, step }),
      async check() {
        found = await rig.wordsOf(sampled, count);
      },
    },
  ]);
  return found;
}

/** Asserts that draws are of the kept tokens only, and as frequent as their probabilities (Pearson's chi-squared). */
function expectDrawn(found: readonly number[], logits: Floats, options: SamplingOptions): void {
  const { ids, probabilities } = keep(logits, options);
  const label = JSON.stringify(options);
  expect(
    found.filter((id) => !ids.includes(id)),
    `${label}: draws of tokens that are not kept`,
  ).toEqual([]);
  let [squares, bins, rareExpected, rareSeen] = [0, 0, 0, 0];
  ids.forEach((id, i) => {
    const expected = probabilities[i]! * found.length;
    const seen = found.filter((one) => one === id).length;
    if (expected < 5) {
      rareExpected += expected;
      rareSeen += seen;
      return;
    }
    squares += (seen - expected) ** 2 / expected;
    bins++;
  });
  if (rareExpected > 1) squares += (rareSeen - rareExpected) ** 2 / rareExpected;
  // Mean plus four deviations of the distribution with `bins` degrees of freedom.
  expect(squares, `${label}: chi-squared over ${bins} tokens`).toBeLessThan(
    bins + 1 + 4 * Math.sqrt(2 * bins),
  );
}

describe('sample', () => {
  const DRAWS = 1500;
  const logits = new Rig(gpu).floats(VOCAB).map((value) => 3 * value);
  // Equals at the limits of top-k 6.
  const order = topK(logits, 8).map(({ id }) => id);
  for (const i of [5, 6, 7]) logits[order[i]!] = logits[order[4]!]! - 0.25;

  test.each<SamplingOptions>([
    { temperature: 1 },
    { temperature: 0.7, topK: 6 },
    { temperature: 1, topP: 0.6 },
    { temperature: 1.5, minP: 0.2 },
    { temperature: 0.8, topK: 20, topP: 0.8, minP: 0.1 },
    { temperature: 0.5, topK: 1 },
    { temperature: 1, topK: 1000, topP: 0.05 },
  ])('%j', async (options) => {
    const found = await draw(
      logits,
      Array.from({ length: DRAWS }, (_, seed) => samplerOf(options, 1000 + seed)),
    );
    expectDrawn(found, logits, options);
  });

  test('every position of one seed is a new draw', async () => {
    const options = { temperature: 1 };
    const samplers = Array.from({ length: DRAWS }, () => samplerOf(options, 7));
    const found = await draw(logits, samplers, { position: (row) => row });
    expectDrawn(found, logits, options);
  });

  test('equals at the limit are all kept', async () => {
    const options = { temperature: 0.7, topK: 6 };
    expect(keep(logits, options).ids.length).toBe(8);
  });

  test('the same seed draws the same tokens, another seed others', async () => {
    const seeds = (base: number) =>
      Array.from({ length: 40 }, (_, i) => samplerOf({ temperature: 1.5 }, base + i));
    const [first, again, other] = [
      await draw(logits, seeds(3)),
      await draw(logits, seeds(3)),
      await draw(logits, seeds(5_000_000)),
    ];
    expect(again).toEqual(first);
    expect(other).not.toEqual(first);
  });

  test('temperature 0 is greedy, whatever else is set', async () => {
    const found = await draw(logits, [samplerOf({ topK: 5, topP: 0.1, minP: 0.5 }, 1), samplerOf({}, 2)]);
    expect(found).toEqual([argmaxTwin(logits), argmaxTwin(logits)]);
  });

  test.each([256])('%i threads keep the same tokens', async (threads) => {
    const options = { temperature: 0.8, topK: 20, topP: 0.8, minP: 0.1 };
    const samplers = Array.from({ length: DRAWS / 5 }, (_, seed) => samplerOf(options, seed));
    expectDrawn(await draw(logits, samplers, { threads }), logits, options);
  });

  // Sharp and flat, so that few candidates are left of a slice, or all.
  test.each([260, 3001, 20_011])('slices of %i tokens draw what the twin does', async (vocab) => {
    const options: SamplingOptions[] = [
      { temperature: 1 },
      { temperature: 3, minP: 0.05 },
      { temperature: 0.7, topK: 6 },
      { temperature: 2, topK: 300 },
      { temperature: 0.3, topP: 0.9 },
      { temperature: 4, topP: 0.95 },
      { temperature: 1, topK: 40, topP: 0.9, minP: 0.02 },
      { temperature: 3, topK: 200, topP: 0.7 },
      { temperature: 0.05, topK: 1000, topP: 0.999 },
    ];
    const SEEDS = 6;
    const wide = new Rig(gpu).floats(vocab).map((value) => Math.round(40 * value ** 5) / 8);
    // The least of the 6 largest has equals, in other slices too.
    for (const [i, id] of [vocab - 1, 7, vocab >> 1, 101, 259, 8, 9].entries())
      wide[id] = i < 4 ? 7 + i : 6.5;
    const samplers = options.flatMap((one) =>
      Array.from({ length: SEEDS }, (_, seed) => samplerOf(one, 50 * seed)),
    );
    const found = await draw(wide, samplers, { threads: 256 });
    let sure = 0;
    for (const [i, id] of found.entries()) {
      const one = options[Math.floor(i / SEEDS)]!;
      const sampler = { ...wordsOf(samplers[i]!), repetition: 1, frequency: 0, presence: 0 };
      const expected = drawn(wide, sampler, { threads: 1, position: 4, reply: 0 });
      if (Number.isNaN(expected)) {
        const near = { ...one, topP: Math.min(1, 1.001 * (one.topP ?? 1)), minP: 0.999 * (one.minP ?? 0) };
        expect(keep(wide, near).ids, JSON.stringify(one)).toContain(id);
      } else expect([JSON.stringify(one), id]).toEqual([JSON.stringify(one), expected]);
      if (!Number.isNaN(expected)) sure++;
    }
    expect(sure).toBeGreaterThan(found.length / 2);
  });

  test.each([16, 256])(
    '%i threads pass over what is no number, and take what is infinite',
    async (threads) => {
      const odd = logits.slice();
      odd.fill(Number.NaN, 0, 20);
      odd[30] = -3e38;
      const greedy = samplerOf({}, 1);
      expect(await draw(odd, [greedy], { threads })).toEqual([
        argmaxTwin(odd.map((z) => (z > -3.4e38 ? z : -3.4e38))),
      ]);
      expect(await draw(new Float32Array(VOCAB).fill(Number.NaN), [greedy], { threads })).toEqual([0]);
      odd[41] = Number.POSITIVE_INFINITY;
      const drawn = samplerOf({ temperature: 1, topK: 5, topP: 0.9 }, 2);
      const all = await draw(odd, [greedy, drawn, samplerOf({ temperature: 1 }, 3)], { threads });
      // The kernel of software adapters has no weight to draw by where the largest logit is infinite.
      expect(threads === 16 ? all.slice(0, 1) : all).toEqual(threads === 16 ? [41] : [41, 41, 41]);
    },
  );

  // The smallest and the largest vocabularies of models, with the threads of either profile.
  test.each([16, 256])('260 to 262,144 tokens, %i threads', async (threads) => {
    for (const [vocab, draws] of [
      [260, 200],
      [151_936, 2],
      [262_144, 2],
    ] as const) {
      const wide = new Rig(gpu).floats(vocab).map((value) => 3 * value);
      // A few stand out, the last token among them.
      for (const id of [vocab - 1, 7, vocab >> 1, 101]) wide[id] = 9 + (id % 7) / 10;
      for (const options of [
        { temperature: 0.7, topK: 3 },
        { temperature: 0.8, topK: 40, topP: 0.8, minP: 0.2 },
      ]) {
        const samplers = Array.from({ length: draws }, (_, seed) => samplerOf(options, seed));
        expectDrawn(await draw(wide, samplers, { threads }), wide, options);
      }
    }
  });
});

describe('adjust', () => {
  const prompts = [[3, 3, 9], [], [VOCAB - 1]];
  const replies = [[9, 20, 9], [5], [0, 0, 0, VOCAB - 1]];
  const options: SamplingOptions[] = [
    { repetitionPenalty: 1.3, frequencyPenalty: 0.2, presencePenalty: 0.4, logitBias: { 9: 2.5, 66: -4 } },
    { frequencyPenalty: -0.5, logitBias: { 0: 1 } },
    { repetitionPenalty: 0.8, presencePenalty: -1.5 },
  ];

  test.each([
    ['penalties alone', false, false, 16],
    ['penalties and bias', true, false, 16],
    ['penalties, bias and mask', true, true, 16],
    ['penalties alone', false, false, 256],
    ['penalties, bias and mask', true, true, 256],
  ])('%s: bias %s, mask %s, %i threads', async (_, withBias, withMask, threads) => {
    const rig = new Rig(gpu);
    const values = rig.floats(3 * VOCAB).map((value) => 5 * value);
    const words = maskWords(VOCAB);
    // Sequence 0 is another's: rows 0..2 are sequences 1..3.
    const counts = new Uint32Array(4 * VOCAB);
    const bias = new Float32Array(4 * VOCAB);
    const mask = new Uint32Array(4 * words);
    const allowed = (id: number): boolean => id % 3 !== 1;
    const expected = new Float32Array(3 * VOCAB);
    prompts.forEach((prompt, r) => {
      const at = (r + 1) * VOCAB;
      const reply = replies[r]!;
      for (const id of prompt) counts[at + id]! |= 1;
      // The last token of the reply is still to be counted.
      for (const id of reply.slice(0, -1)) counts[at + id]! += 2;
      for (const [id, value] of Object.entries(options[r]!.logitBias ?? {})) bias[at + Number(id)] = value;
      for (let id = 0; id < VOCAB; id++)
        if (allowed(id)) mask[(r + 1) * words + Math.floor(id / 32)]! |= 1 << (id % 32);
      const { logitBias: _, ...unbiased } = options[r]!;
      const row = values.slice(r * VOCAB, (r + 1) * VOCAB);
      const wanted = penalize(row, prompt, reply, withBias ? options[r]! : unbiased);
      expected.set(
        wanted.map((value, id) => (withMask && !allowed(id) ? -3e38 : value)),
        r * VOCAB,
      );
    });
    const countsBuffer = rig.upload('counts', counts);
    const adjusted = rig.output(3, VOCAB);
    const call = {
      logits: rig.activations(values, VOCAB),
      adjusted,
      counts: countsBuffer,
      bias: withBias ? rig.upload('bias', bias) : undefined,
      mask: withMask ? rig.upload('mask', mask) : undefined,
      samplers: uploadSamplers(
        rig,
        [{}, ...options].map((one) => samplerOf(one, 0)),
      ),
      between: rig.between(3),
      next: rig.rows([
        { token: 2 },
        ...replies.map((reply, r) => ({ token: reply.at(-1)!, sequence: r + 1 })),
      ]),
    };
    await rig.run([
      {
        step: { count: 3, next: 1 },
        record: (recorder, step) => adjust(tuningOf(threads), recorder, { ...call, step }),
        async check() {
          const found = await rig.floatsOf(adjusted.buffer);
          for (let r = 0; r < 3; r++) {
            const row = found.subarray(r * stride(VOCAB), r * stride(VOCAB) + VOCAB);
            const want = expected.subarray(r * VOCAB, (r + 1) * VOCAB);
            // Masked logits are huge: compared apart from the others.
            expect([...row].map((value) => value < -1e38)).toEqual([...want].map((value) => value < -1e38));
            const kept = (values: Floats): number[] => [...values].map((value) => Math.max(value, -1e3));
            expectClose(kept(row as Floats), kept(want), `sequence ${r + 1}`, 1e-6);
          }
          const after = await rig.wordsOf(countsBuffer, 4 * VOCAB);
          const counted = counts.slice();
          replies.forEach((reply, r) => {
            counted[(r + 1) * VOCAB + reply.at(-1)!]! += 2;
          });
          expect(after).toEqual([...counted]);
        },
      },
    ]);
  });
});

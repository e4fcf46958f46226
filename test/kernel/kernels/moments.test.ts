// Sums over tokens for calibration against their twin in f64, far beyond what f32 holds.
import { afterAll, describe, expect, test } from 'vitest';
import { addMoments, type MomentBuffers, momentBytes } from '../../../src/kernels/moments.ts';
import { stride } from '../../../src/kernels/tensor.ts';
import { momentsOf, type Pair } from '../../reference/moments.ts';
import { openTestGpu } from '../../support/gpu-features.ts';
import { type Case, type Floats, Rig } from '../../support/gpu-rig.ts';

const gpu = await openTestGpu();
afterAll(() => gpu.close());

/** Errors as shares of what was added up, signs aside. */
const BOUND = 2 ** -42;

interface Token {
  z: Floats;
  before: Floats;
  after: Floats;
}

const absolute = (values: ArrayLike<number>): Float64Array => Float64Array.from(values, Math.abs);

/** a as the kernel sees it: rounded to f32. */
const pairOf = ({ z, before, after }: Token): { z: Floats; a: Floats } => ({
  z,
  a: after.map((value, i) => value - before[i]!),
});

function buffersOf(rig: Rig, d: number): MomentBuffers {
  const bytes = momentBytes(d);
  const make = (name: keyof MomentBuffers): GPUBuffer => rig.ledger.storage(name, bytes[name], 'scratch');
  return { G: make('G'), C: make('C'), vectors: make('vectors'), odd: make('odd') };
}

/** Launches for a window that begins at `first`, in chunks: z by row, the rest by position. */
function chunksOf(
  rig: Rig,
  d: number,
  to: MomentBuffers,
  tokens: readonly Token[],
  chunks: readonly number[],
  first: number,
): Case[] {
  const blank = Array.from({ length: first }, () => new Float32Array(d).fill(Number.NaN));
  const byPosition = (of: (token: Token) => Floats): GPUBuffer =>
    rig.activations(Float32Array.from([...blank, ...tokens.map(of)].flatMap((row) => [...row])), d).buffer;
  const before = byPosition((token) => token.before);
  const after = byPosition((token) => token.after);
  let at = 0;
  return chunks.map((count) => {
    const part = tokens.slice(at, at + count);
    const z = rig.activations(Float32Array.from(part.flatMap((token) => [...token.z])), d).buffer;
    const rows = rig.rows(part.map((_, r) => ({ position: first + at + r })));
    at += count;
    return {
      step: { rows: count },
      record: (recorder, step) => addMoments(recorder, { d, z, before, after, rows, to, step }),
      check: async () => {},
    };
  });
}

/** Largest error as a share of `scale`, the sum of magnitudes. */
function apart(found: ArrayLike<number>, expected: ArrayLike<number>, scale: ArrayLike<number>): number {
  let most = 0;
  for (let i = 0; i < expected.length; i++)
    if (scale[i]! > 0) most = Math.max(most, Math.abs(found[i]! - expected[i]!) / scale[i]!);
    else expect(found[i]).toBe(0);
  return most;
}

/** Asserts all sums of tokens that were added from zero. */
async function expectMoments(rig: Rig, d: number, to: MomentBuffers, tokens: readonly Token[]) {
  const pairs = tokens.map(pairOf);
  const expected = momentsOf(d, pairs);
  const scale = momentsOf(
    d,
    pairs.map(({ z, a }): Pair => ({ z: absolute(z), a: absolute(a) })),
  );
  const padded = stride(d);
  const unpack = async (buffer: GPUBuffer, plane: number, first: number, rows: number) => {
    const all = await rig.floatsOf(buffer);
    return Float64Array.from({ length: rows * d }, (_, at) => {
      const from = first + Math.floor(at / d) * padded + (at % d);
      return all[from]! + all[from + plane]!;
    });
  };
  const lower = (matrix: Float64Array): Float64Array =>
    matrix.map((value, at) => (at % d <= Math.floor(at / d) ? value : 0));
  const G = await unpack(to.G, padded * padded, 0, d);
  const C = await unpack(to.C, padded * padded, 0, d);
  // Tiles above the diagonal are nobody's work.
  for (let j = 32; j < d; j++) expect(G[j]).toBe(0);
  const errors = {
    G: apart(lower(G), expected.G, scale.G),
    C: apart(C, expected.C, scale.C),
    z: apart(await unpack(to.vectors, padded, 0, 1), expected.z, scale.z),
    a: apart(await unpack(to.vectors, padded, 2 * padded, 1), expected.a, scale.a),
    aa: apart(
      [(await unpack(to.vectors, padded, 4 * padded, 1)).reduce((sum, value) => sum + value)],
      [expected.aa],
      [scale.aa],
    ),
  };
  for (const [name, error] of Object.entries(errors)) expect(error, name).toBeLessThan(BOUND);
  expect(await rig.wordsOf(to.odd, 1)).toEqual([0]);
  return { pairs, expected, scale };
}

const tokensOf = (rig: Rig, d: number, count: number, size: () => number = () => 1): Token[] =>
  Array.from({ length: count }, () => {
    const by = size();
    const draw = (): Floats => rig.floats(d).map((value) => value * by);
    return { z: draw(), before: draw(), after: draw() };
  });

describe('sums over tokens', () => {
  test.each([
    [1, [1], 0],
    [7, [3, 1, 5], 0],
    [33, [37], 11],
    [70, [64, 64, 9], 3],
    [131, [5, 2], 0],
  ] as const)('of %i columns, in chunks of %j rows from position %i', async (d, chunks, first) => {
    const rig = new Rig(gpu);
    const to = buffersOf(rig, d);
    const tokens = tokensOf(
      rig,
      d,
      chunks.reduce((sum, rows) => sum + rows, 0),
    );
    const cases = chunksOf(rig, d, to, tokens, chunks, first);
    cases.at(-1)!.check = async () => void (await expectMoments(rig, d, to, tokens));
    await rig.run(cases);
  });

  test('that cancel, of values of very different sizes: f32 would lose them', async () => {
    const [d, count] = [20, 300];
    const rig = new Rig(gpu);
    const to = buffersOf(rig, d);
    // Products come again with the sign turned, but for the rounding of a: little is left of them.
    const large = tokensOf(rig, d, count / 3, () => 10 ** (6 * rig.floats(1)[0]!));
    const third = (values: Floats): Floats => values.map((value) => value / 3);
    const turned = large.map(({ z, before, after }) => ({
      z: z.map((value) => 3 * value),
      before: third(after),
      after: third(before),
    }));
    const small = tokensOf(rig, d, count / 3, () => 1e-4 * 10 ** rig.floats(1)[0]!);
    const tokens = [...large, ...small, ...turned];
    const cases = chunksOf(rig, d, to, tokens, [256, 44], 0);
    cases.at(-1)!.check = async () => {
      const { pairs, expected, scale } = await expectMoments(rig, d, to, tokens);
      // The bound can be missed: by sums in f32, and by products in f32 that are added up in f64.
      const round = Math.fround;
      const [sums, products] = [new Float64Array(d * d), new Float64Array(d * d)];
      for (const { z, a } of pairs)
        for (let at = 0; at < d * d; at++) {
          const value = round(a[Math.floor(at / d)]! * z[at % d]!);
          sums[at] = round(sums[at]! + value);
          products[at]! += value;
        }
      expect(apart(sums, expected.C, scale.C)).toBeGreaterThan(1e4 * BOUND);
      expect(apart(products, expected.C, scale.C)).toBeGreaterThan(1e4 * BOUND);
    };
    await rig.run(cases);
  });
});

test.each([
  ['NaN in z', 'z', Number.NaN],
  ['-Infinity in x', 'before', Number.NEGATIVE_INFINITY],
  ['a value beyond 2^50', 'after', -(2 ** 51)],
] as const)('%s: the first position is told', async (_, where, value) => {
  const d = 70;
  const rig = new Rig(gpu);
  const to = buffersOf(rig, d);
  const tokens = tokensOf(rig, d, 12);
  tokens[9]![where][0] = value;
  tokens[6]![where][69] = value;
  const cases = chunksOf(rig, d, to, tokens, [5, 7], 3);
  cases.at(-1)!.check = async () => expect(await rig.wordsOf(to.odd, 1)).toEqual([~9 >>> 0]);
  await rig.run(cases);
});

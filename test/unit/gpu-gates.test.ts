// The gates of `npm run check:gpu`: each has figures, and each fails where a kernel or a launch is weak.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { buildLayer, type Compiled, compileAll } from '../../scripts/gpu-compiler/driver.ts';
import {
  type Built,
  figuresOfCode,
  figuresOfLaunches,
  GATED,
  GATES,
  type GateName,
  passes,
} from '../../scripts/gpu-compiler/gates.ts';
import { GPU_NAMES, targets } from '../../scripts/gpu-compiler/gpus.ts';
import { type ModelLaunches, modelLaunches } from '../../scripts/gpu-compiler/launches.ts';
import { timesRead } from '../../src/bench/work.ts';
import type { Dispatch, StepShape } from '../../src/gpu/recorder.ts';
import { shaderText } from '../../src/gpu/shader.ts';
import { adapterOf } from '../support/paper-gpu.ts';

/** Its loop spends 2.5 instructions on each of 64 bytes of binding 1, in which q4 has two weights. */
const STRONG: Compiled = {
  registers: 32,
  spills: 0,
  scratch: 0,
  shared: 0,
  instructions: 100,
  guards: 0,
  flight: 8,
  flightBytes: 128,
  barriers: 1,
  perMultiplyAdd: 2,
  loop: { vector: 64 * 2.5, loaded: { 1: 64 } },
  perSharedRead: 16,
  wide: 0.75,
};
const WEAK: Compiled = {
  ...STRONG,
  spills: 1,
  scratch: 16,
  guards: 1,
  flight: 7,
  barriers: 5,
  perMultiplyAdd: 3.6,
  loop: { vector: 64 * 7.1, loaded: { 1: 64 } },
  perSharedRead: 9,
  wide: 0.74,
};
/** Gates that the code of a kernel decides, not its launch. */
const OF_CODE: readonly GateName[] = [
  'decode attention: loads in flight',
  'decode attention: barriers',
  'q4 matvec: vector instructions a multiply-add',
  'q8 matvec: vector instructions a multiply-add',
  'q4 and q8 matvec: % of bytes by loads of 16',
  'q4 and q8 matvec: barriers',
  'prompts: multiply-adds a read of workgroup memory',
  "prompts: loops with the WGSL compiler's guard",
];

const launches = await modelLaunches(adapterOf('gpu', true, { min: 32, max: 64 }));
const text = new Map<unknown, string>();
const figures = (compiled: Compiled | undefined, of: readonly ModelLaunches[] = launches) =>
  of.flatMap((model) =>
    figuresOfLaunches(model, (shader): Built => {
      const code = text.get(shader) ?? shaderText(shader).code;
      text.set(shader, code);
      return { code, compiled };
    }),
  );

test('every gate is counted on what models launch, and gated GPUs are ones that can be asked', () => {
  const counted = new Set(figures(STRONG).map(({ gate }) => gate));
  for (const [gate] of figuresOfCode('train/matmul_tiled', STRONG)) counted.add(gate);
  expect(Object.keys(GATES).filter((gate) => !counted.has(gate as GateName))).toEqual([]);
  expect(GATED.filter((name) => !GPU_NAMES.includes(name))).toEqual([]);
});

test('what a compiler says decides: every figure passes, or none', () => {
  for (const gate of OF_CODE) {
    const [strong, weak] = [STRONG, WEAK].map((compiled) =>
      figures(compiled).filter((figure) => figure.gate === gate),
    );
    expect([gate, strong!.length > 0 && strong!.every(passes)]).toEqual([gate, true]);
    expect([gate, weak!.some(passes)]).toEqual([gate, false]);
  }
  const alone = (compiled: Compiled) =>
    ['matmul', 'train/matmul_tiled'].map((kernel) =>
      figuresOfCode(kernel, compiled).map(([gate, value]) => passes({ gate, value })),
    );
  const all = (passed: boolean) => [2, 4].map((count) => Array(count).fill(passed));
  expect(alone(STRONG)).toEqual(all(true));
  expect(alone(WEAK)).toEqual(all(false));
});

test('a kernel that does not compile has no figures of its code', () => {
  expect(figures(undefined).filter(({ gate }) => OF_CODE.includes(gate))).toEqual([]);
});

describe('launches', () => {
  const smol = launches.find(({ model, dtype }) => model === 'SmolLM2-135M' && dtype === 'q4')!;
  /** The same model, each launch in so many workgroups. */
  const inGroups = (groups: number): ModelLaunches => {
    const changed = (list: readonly Dispatch[]): Dispatch[] =>
      list.map((launch) => ({ ...launch, grid: () => [groups, 1, 1] }));
    const { decode, prompt, rows, greedy, sampled } = smol;
    const [d, p, g, s, ...r] = [decode, prompt, greedy, sampled, ...rows].map((step) => ({
      step: step.step,
      blocks: changed(step.blocks),
      head: changed(step.head),
      choice: changed(step.choice),
    }));
    return { ...smol, decode: d!, prompt: p!, greedy: g!, sampled: s!, rows: r };
  };
  const failing = (model: ModelLaunches, gate: GateName) =>
    figures(STRONG, [model]).filter((figure) => figure.gate === gate && !passes(figure)).length;

  test.each([
    'decode attention: workgroups at position 1,000, SmolLM2-135M',
    'prompts: workgroups for 128 tokens, SmolLM2-135M',
    'q4 and q8 matvec: threads',
  ] as const)('%s: one workgroup fails, thousands pass', (gate) => {
    expect(failing(inGroups(1), gate)).toBeGreaterThan(0);
    expect(failing(inGroups(10_000), gate)).toBe(0);
  });

  test('a weight that several workgroups read for rows of their own is read more than once', () => {
    expect(failing(inGroups(100_000), '2 to 16 rows: times that a weight is read')).toBeGreaterThan(0);
    const step = { rows: 16, first: 0, count: 16, next: 0, context: 1 };
    const projection = (rowsAtOnce: number): Dispatch => {
      const grid = (rows: number) => [Math.ceil(rows / rowsAtOnce), 9, 1] as const;
      const kernel = { grid: ({ step }: { step: StepShape }) => grid(step.rows) };
      return { shader: { kernel, constants: {} }, grid: ({ rows }: StepShape) => grid(rows) } as never;
    };
    expect([4, 16, 64].map((rows) => timesRead(projection(rows), step))).toEqual([4, 1, 1]);
  });

  test('a loop over the logits in one workgroup fails, and in thousands or of something else it does not', () => {
    const gate = 'choice of a token: launches that go over the logits in one workgroup';
    const weak = 'logits\nfor (var i = lid; i < STRIDE4; i += WG) {';
    const failing = (groups: number, code: string) =>
      figuresOfLaunches(inGroups(groups), () => ({ code, compiled: undefined })).filter(
        (figure) => figure.gate === gate && !passes(figure),
      ).length;
    expect(failing(1, weak)).toBe(2);
    expect(failing(1000, weak)).toBe(0);
    expect(failing(1, weak.replace('STRIDE4', 'TRIPS'))).toBe(0);
  });

  test('launches for steps of other sizes do not count', () => {
    const others = (list: readonly Dispatch[]): Dispatch[] => [
      ...list,
      ...list.map((launch) => ({ ...launch, grid: () => undefined })),
    ];
    const { decode, prompt } = smol;
    const more = {
      ...smol,
      decode: { ...decode, blocks: others(decode.blocks) },
      prompt: { ...prompt, blocks: others(prompt.blocks) },
    };
    expect(figures(STRONG, [more])).toEqual(figures(STRONG, [smol]));
  });

  test("the barrier behind the zeroing of workgroup memory is not the kernel's own", () => {
    const failing = (code: string) =>
      figuresOfLaunches(smol, () => ({ code, compiled: { ...STRONG, barriers: 4 } })).filter(
        (figure) => figure.gate === 'decode attention: barriers' && !passes(figure),
      ).length;
    expect(failing('')).toBe(1);
    expect(failing('var<workgroup> sums: array<f32, 64>;')).toBe(0);
  });

  test('four launches behind the head are one too many', () => {
    const { choice } = smol.greedy;
    const many = { ...smol.greedy, choice: Array.from({ length: 4 }, () => choice[0]!) };
    const gate = 'choice of a token: launches behind the head';
    expect(failing({ ...smol, greedy: many }, gate)).toBe(1);
    expect(failing({ ...smol, greedy: { ...many, choice: many.choice.slice(1) } }, gate)).toBe(0);
  });
});

/** Weak kernels, by what is wrong with them; `x` is read, `y` written. */
const SPOILED = {
  scratch: `var all: array<f32, 999>;
    for (var i = 0u; i < 999u; i++) { all[(i * id.x) % 999u] = x[i].x; }
    y[id.x] = vec4f(all[id.x % 999u]);`,
  'one load in flight': `var at = id.x; var sum = 0.0;
    for (var i = 0u; i < bitcast<u32>(x[0].x); i++) { let v = x[at]; sum = fma(v.x, v.y, sum); at = u32(v.z); }
    y[id.x] = vec4f(sum);`,
  'narrow loads': `var sum = 0.0;
    for (var i = id.x; i < bitcast<u32>(x[0].x); i += 7u) { sum = fma(x[3u * i].x, x[5u * i].y, sum); }
    y[id.x] = vec4f(sum);`,
  'five barriers': `for (var i = 0u; i < 5u; i++) {
      tile[lid] = x[lid + i]; workgroupBarrier(); y[id.x + i] = tile[lid ^ 64u]; }`,
  'a read of workgroup memory for each multiply-add': `tile[lid] = x[lid]; workgroupBarrier(); var sum = 0.0;
    for (var i = 0u; i < bitcast<u32>(x[0].x); i++) { sum = fma(tile[(i * lid) & 255u].x, x[i + id.x].x, sum); }
    y[id.x] = vec4f(sum);`,
  'a guarded loop': `var sum = 0.0;
    for (var i = id.x; i < bitcast<u32>(x[0].x); i *= 3u) { sum += x[i].x; }
    y[id.x] = vec4f(sum);`,
};

describe("on the compiler for AMD's RDNA 3", () => {
  const work = mkdtempSync(join(tmpdir(), 'gates-'));
  afterAll(() => rmSync(work, { recursive: true }));
  const made = new Map<string, Compiled>();
  let why: string | undefined;

  beforeAll(async () => {
    try {
      const navi31 = targets(undefined, work).find(({ name }) => name === 'navi31')!;
      const codes = Object.entries(SPOILED).map(([name, body]) => {
        const code = `@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
var<workgroup> tile: array<vec4f, 256>;
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  ${body}
}`;
        return [code, name] as const;
      });
      const names = new Map(codes);
      await compileAll(navi31, [...names.keys()], {
        layer: buildLayer(work),
        work,
        each(code, outcome) {
          if ('error' in outcome) throw new Error(outcome.error);
          made.set(names.get(code)!, outcome);
        },
      });
    } catch (error) {
      why = (error as Error).message;
    }
  });

  test.for([
    ['scratch', 'bytes of scratch', 'scratch'],
    ['one load in flight', 'decode attention: loads in flight', 'flight'],
    ['narrow loads', 'q4 and q8 matvec: % of bytes by loads of 16', 'wide'],
    ['five barriers', 'decode attention: barriers', 'barriers'],
    [
      'a read of workgroup memory for each multiply-add',
      'prompts: multiply-adds a read of workgroup memory',
      'perSharedRead',
    ],
    ['a guarded loop', "prompts: loops with the WGSL compiler's guard", 'guards'],
  ] as const)('%s fails "%s"', ([name, gate, key], { skip }) => {
    if (why !== undefined && !inject('full')) skip(why);
    expect(why).toBeUndefined();
    const value = made.get(name)![key]!;
    expect(value).toBeDefined();
    expect([value, passes({ gate, value })]).toEqual([value, false]);
  });
});

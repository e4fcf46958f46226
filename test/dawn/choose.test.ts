// Choosing blocks one by one on real WebGPU, against a search that runs the whole model each time.
import { describe, expect, test } from 'vitest';
import { calibrate, perplexity, prunedModel } from '../../src/convert/calibrate.ts';
import {
  type ChoiceNotes,
  type ChooseOptions,
  chooseBlocks,
  type Measure,
} from '../../src/convert/choose.ts';
import type { OnGpu } from '../../src/convert/on-gpu.ts';
import { type RecallList, recallLists, recallOf } from '../../src/convert/recall.ts';
import { Stack } from '../../src/convert/stack.ts';
import { countTokens } from '../../src/convert/windows.ts';
import { scoreOf } from '../../src/engine/scoring.ts';
import { useParents } from '../support/parents.ts';
import { randomModel, randomTokens, type TinyModel, tinyModel } from '../support/tiny-models.ts';

const { withParent } = useParents();

/** Six blocks, each of which matters: weights are larger than in other tiny models. */
function deepModel(): TinyModel {
  const model = randomModel({ ...tinyModel('llama', 7).configJson, num_hidden_layers: 6 }, 11);
  for (const [name, { data }] of model.tensors)
    if (name.includes('o_proj')) for (let i = 0; i < data.length; i++) data[i]! *= 4;
  return model;
}

const windowsFor = ({ spec }: TinyModel, count: number, seed: number): number[][] =>
  Array.from({ length: count }, (_, i) => randomTokens(spec, 37, seed + i));

function listsFor({ tokenizer, runner }: OnGpu): RecallList[] {
  const upper = (text: string): string => text.toUpperCase().replaceAll(' ', '_');
  return recallLists((text) => tokenizer.encode(upper(text)), {
    begin: undefined,
    most: runner.parts.kv.context,
    lists: 2,
  });
}

/** The measure of a model without layers, by whole forwards. */
async function wholly(
  parent: OnGpu,
  layers: number[],
  windows: number[][],
  lists: RecallList[],
  mode: 'linear' | 'skip',
) {
  const model = prunedModel(parent, layers, mode);
  const nats = Math.log(await perplexity(model, windows));
  const scores = [];
  for (const { ids } of lists) scores.push(await scoreOf(model.runner, model.plan, ids));
  return { nats, recall: recallOf(lists, scores) };
}

describe('choosing blocks', () => {
  test.each(['linear', 'skip'] as const)('%s: takes those that a search over whole forwards takes', (mode) =>
    withParent(
      deepModel(),
      async (parent, model) => {
        const { runner, plan } = parent;
        const layers = plan.map(({ layer }) => layer);
        const windows = windowsFor(model, 3, 50);
        const lists = listsFor(parent);
        if (mode === 'linear')
          await calibrate(
            runner,
            plan,
            { calibration: windowsFor(model, 12, 20), choosing: windows },
            layers,
          );
        const before = runner.ledger.bytes();
        const weights = { nats: 1, recall: 0.3 };
        const costs = async (lost: number[], whole: Measure): Promise<number> => {
          const { nats, recall } = await wholly(parent, lost, windows, lists, mode);
          return nats - whole.nats + weights.recall * (recall.nats - whole.recall!.nats);
        };
        const whole = await wholly(parent, [], windows, lists, mode);
        const expected: number[] = [];
        while (expected.length < 3) {
          const rest = layers.filter((layer) => !expected.includes(layer));
          const each = [];
          for (const layer of rest) each.push({ layer, cost: await costs([...expected, layer], whole) });
          expected.push(each.reduce((a, b) => (b.cost < a.cost ? b : a)).layer);
        }
        const choice = await chooseBlocks(runner, plan, windows, lists, {
          mode,
          count: 3,
          among: 6,
          weights,
        });
        expect(choice.chosen.map(({ layer }) => layer)).toEqual(expected);
        expect([...choice.order].sort()).toEqual(layers);
        const last = choice.chosen.at(-1)!;
        const same = await wholly(parent, expected, windows, lists, mode);
        expect(last.nats).toBeCloseTo(same.nats, 4);
        expect(last.recall!.nats).toBeCloseTo(same.recall.nats, 4);
        expect(last.recall!.accuracy).toBe(same.recall.accuracy);
        expect(choice.parent.nats).toBeCloseTo(whole.nats, 5);
        // Two passes fewer than whole forwards of each candidate took at the first choice alone.
        expect(choice.passes).toBeLessThan(6 + 5 + 4);
        expect(runner.ledger.bytes()).toBe(before);
      },
      { chunk: 16 },
    ),
  );

  const choose = (options: Partial<ChooseOptions>, also: { texts?: number } = {}) =>
    withParent(
      deepModel(),
      (parent, model) =>
        chooseBlocks(parent.runner, parent.plan, windowsFor(model, also.texts ?? 2, 50), listsFor(parent), {
          mode: 'skip',
          ...options,
        }),
      { chunk: 16 },
    );

  test('counts blocks that are run: those above each change', async () => {
    const { passes, chosen, tokens } = await choose({ count: 2, among: 2 });
    // The parent's kept states up to the last block's, its own measure from there, and each block alone from itself.
    const [first] = chosen.map(({ layer }) => layer);
    const alone = 5 + 1 + (6 + 5 + 4 + 3 + 2 + 1);
    const blocks = passes * 6;
    // Then the states above the first, and two more candidates.
    const again = 5 - first!;
    expect(blocks).toBeGreaterThanOrEqual(alone + again + 2);
    expect(blocks).toBeLessThanOrEqual(alone + again + 2 * 6);
    expect(Number.isInteger(Math.round(1e6 * blocks) / 1e6)).toBe(true);
    expect(tokens).toBeGreaterThan(2 * 37);
  });

  test('ten of thirty blocks cost at most sixty forward passes', () =>
    withParent(
      randomModel({ ...tinyModel('llama', 7).configJson, num_hidden_layers: 30 }, 3),
      async ({ runner, plan }, model) => {
        const windows = windowsFor(model, 1, 50);
        const told: number[] = [];
        const { passes, chosen } = await chooseBlocks(runner, plan, windows, [], {
          mode: 'skip',
          count: 10,
          onProgress: (_, total) => told.push(total),
        });
        expect(chosen).toHaveLength(10);
        expect(passes).toBeGreaterThan(30);
        expect(passes).toBeLessThanOrEqual(60);
        expect(told[0]).toBeLessThanOrEqual(60);
      },
      { chunk: 64 },
    ));

  test('that few states are kept for changes nothing but how much is run', async () => {
    const all = await choose({ count: 3 });
    const few = await choose({ count: 3, budget: 1 });
    expect(few.chosen.map(({ layer }) => layer)).toEqual(all.chosen.map(({ layer }) => layer));
    expect(few.passes).toBeGreaterThan(all.passes);
  });

  test('weights of recall and of nats decide', async () => {
    const firstBy = async (weights: ChooseOptions['weights']) => {
      const measured: ChoiceNotes['measured'] = {};
      const { chosen } = await choose({
        count: 1,
        weights,
        onMeasured: (notes) => void Object.assign(measured, notes.measured),
      });
      return { layer: chosen[0]!.layer, measured };
    };
    const least = (measured: ChoiceNotes['measured'], of: (measure: Measure) => number): number =>
      [0, 1, 2, 3, 4, 5].reduce((a, b) => (of(measured[b]!) < of(measured[a]!) ? b : a));
    const text = await firstBy({ nats: 1, recall: 0 });
    const recall = await firstBy({ nats: 0, recall: 1 });
    expect(text.layer).toBe(least(text.measured, ({ nats }) => nats));
    expect(recall.layer).toBe(least(text.measured, (measure) => measure.recall!.nats));
    expect(recall.layer).not.toBe(text.layer);
  });

  test('ends where perplexity would rise by more than it may', async () => {
    const all = await choose({ weights: { nats: 1, recall: 0 } });
    expect(all.chosen).toHaveLength(6);
    const rises = all.chosen.map(({ nats }) => Math.expm1(nats - all.parent.nats));
    // The first that is more than all before it.
    const over = rises.findIndex((rise, i) => i > 0 && rise > Math.max(0, ...rises.slice(0, i)));
    const within = (Math.max(0, ...rises.slice(0, over)) + rises[over]!) / 2;
    const { chosen, order } = await choose({ within, weights: { nats: 1, recall: 0 } });
    expect(chosen.map(({ layer }) => layer)).toEqual(all.order.slice(0, over));
    expect([...order].sort()).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test('goes on from what a run that was stopped has measured', async () => {
    const whole = await choose({ count: 3 });
    const stop = new AbortController();
    let kept: string | undefined;
    const broken = choose({
      count: 3,
      signal: stop.signal,
      onMeasured: (notes) => {
        kept = JSON.stringify(notes);
        if (Object.keys(notes.measured).length === 9) stop.abort();
      },
    });
    await expect(broken).rejects.toMatchObject({ code: 'aborted' });
    const notes = JSON.parse(kept!) as ChoiceNotes;
    const rest = await choose({ count: 3, notes });
    expect(rest.chosen).toEqual(whole.chosen);
    expect(rest.order).toEqual(whole.order);
    expect(rest.passes).toBeLessThan(whole.passes - 3);
    // Of another text they are of no use.
    const other = await choose({ count: 3, notes: { ...notes, about: 'another' } });
    expect(other.passes).toBe(whole.passes);
  });

  test('progress begins at once, and ends at its total', async () => {
    const told: [number, number][] = [];
    const { passes } = await choose({ count: 3, onProgress: (done, total) => told.push([done, total]) });
    expect(told[0]![0]).toBeLessThan(0.5);
    expect(told.at(-1)![0]).toBe(passes);
    for (const [done, total] of told) expect(done).toBeLessThanOrEqual(total);
    expect(told[0]![1]).toBeGreaterThan(0.7 * passes);
  });
});

test('a part of the stack on kept states is the whole forward', () =>
  withParent(
    'qwen2',
    async ({ runner, plan }, model) => {
      // Its last chunk is of few rows, which other kernels take.
      const tokens = randomTokens(model.spec, 82, 5);
      const whole = await scoreOf(runner, plan, tokens);
      const stack = new Stack(runner);
      const buffer = runner.ledger.storage('states', tokens.length * stack.stateBytes, 'scratch');
      const { scratch } = runner.parts;
      await stack.run(tokens, plan, {
        to: 3,
        places: [3],
        hook: ({ encoder, step, position }) =>
          encoder.copyBufferToBuffer(
            scratch.x.buffer,
            0,
            buffer,
            position * stack.stateBytes,
            step.rows * stack.stateBytes,
          ),
      });
      const { logprobs, top1 } = await stack.score(tokens, plan, { from: { place: 3, buffer } });
      expect(top1).toEqual(whole.top1);
      for (const [i, value] of logprobs.entries()) expect(value).toBeCloseTo(whole.logprobs[i]!, 5);
      // A block and a half, then half a block.
      expect(stack.blockTokens).toBe((countTokens([tokens]) * 2 * plan.length) / 2);
      stack.close();
    },
    { chunk: 16 },
  ));

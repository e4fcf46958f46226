// How many launches a token takes on a GPU, counted on paper: norms of q and k cost none.
import { expect, test } from 'vitest';
import { REAL_CONFIGS } from '../../scripts/gpu-compiler/shapes.ts';
import { specOf } from '../../src/families/index.ts';
import { adapterOf } from '../support/paper-gpu.ts';
import { PaperModel, type PaperStep } from '../support/paper-model.ts';

// Weights whole, as GPUs bind them.
const adapter = { ...adapterOf('gpu', true, { min: 32, max: 32 }), binding: 2 ** 30 };

test.each([
  // Five a block, embedding and head; two norms more a block behind projections for Gemma.
  ['SmolLM2-135M', 30 * 5 + 2, 30],
  ['Qwen3-0.6B', 28 * 5 + 2, 28],
  ['Gemma 3 1B', 26 * 7 + 2, 26],
] as const)('%s: %i launches a token, %i more where attention is split', async (name, short, blocks) => {
  const model = new PaperModel(adapter, specOf(REAL_CONFIGS.get(name)!), {
    dtype: 'q4',
    kv: 'f16',
    context: 2048,
  });
  const launchesAt = async (position: number): Promise<string[]> => {
    const { step, blocks, head } = await model.decode(position);
    return [...blocks, ...head].filter(({ grid }) => grid(step)).map(({ label }) => label);
  };
  const [first, last, split] = [await launchesAt(0), await launchesAt(255), await launchesAt(1000)];
  console.log(`${name}: ${first.length} launches a token, ${split.length} at position 1000`);
  expect([first.length, last.length, split.length]).toEqual([short, short, short + blocks]);
  expect(first).not.toContain('rope');
});

test('of few rows too, unless q and k are normed', async () => {
  for (const [name, ropes] of [
    ['SmolLM2-135M', 0],
    ['Qwen3-0.6B', 28],
  ] as const) {
    const spec = specOf(REAL_CONFIGS.get(name)!);
    const model = new PaperModel(adapter, spec, { dtype: 'q4', kv: 'f16', context: 2048, batch: 4 });
    const { blocks } = await model.decode(100, 4);
    expect(blocks.filter(({ label }) => label === 'rope').length, name).toBe(ropes);
  }
});

test('attention of a prompt fills a GPU, with as many queries a workgroup as leave that', async () => {
  const at = async (name: string, rows: number, kv: 'f32' | 'f16'): Promise<[number, number]> => {
    const spec = specOf(REAL_CONFIGS.get(name)!);
    const model = new PaperModel(adapter, spec, { dtype: 'q4', kv, context: 2048 });
    const [{ step, blocks }] = (await model.prompt(rows)) as [PaperStep];
    const layer = blocks.filter(({ label, grid }) => label === 'attention' && grid(step));
    const perBlock = layer.filter(({ block }) => block === layer[0]!.block);
    expect(perBlock.length, `${name} ${rows}`).toBe(1);
    const groups = perBlock[0]!.grid(step)!.reduce((product, size) => product * size);
    return [groups, Number(perBlock[0]!.shader.constants.WG)];
  };
  expect(await at('SmolLM2-135M', 128, 'f16')).toEqual([144, 32]);
  expect(await at('SmolLM2-135M', 128, 'f32')).toEqual([144, 32]);
  expect(await at('SmolLM2-135M', 256, 'f16')).toEqual([144, 64]);
  expect(await at('SmolLM2-135M', 20, 'f16')).toEqual([24, 32]);
  expect(await at('Qwen3-0.6B', 128, 'f16')).toEqual([128, 128]);
  // Heads of 256 dimensions have 64 threads for four queries.
  expect(await at('Gemma 3 1B', 128, 'f16')).toEqual([128, 64]);
});

test('attention of one row fills a GPU, in parts that are never many', async () => {
  const spec = specOf(REAL_CONFIGS.get('SmolLM2-135M')!);
  const model = new PaperModel(adapter, spec, { dtype: 'q4', kv: 'f16', context: 8192 });
  const workgroups = async (position: number): Promise<number> => {
    const { step, blocks } = await model.decode(position);
    const [attention] = blocks.filter(({ label }) => label === 'attention');
    return attention!.grid(step)!.reduce((product, size) => product * size);
  };
  expect(await workgroups(0)).toBe(9);
  expect(await workgroups(255)).toBe(9);
  expect(await workgroups(1000)).toBe(9 * 16);
  expect(await workgroups(8191)).toBe(9 * 64);
});

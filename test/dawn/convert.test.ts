// Analysis and conversion on real WebGPU, with models of a few thousand weights.
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { readAnalysis } from '../../src/convert/analysis-file.ts';
import { analysisTable, analyze } from '../../src/convert/analyze.ts';
import { convert } from '../../src/convert/convert.ts';
import { type ConvertFolderOptions, convertFolder } from '../../src/convert/convert-folder.ts';
import { stageFolder } from '../../src/convert/folder.ts';
import type { OpenOptions } from '../../src/convert/on-gpu.ts';
import { type ConvertReport, reportText } from '../../src/convert/report.ts';
import type { Stage } from '../../src/convert/staged.ts';
import { type SampleStore, textWindows } from '../../src/convert/text.ts';
import { countTokens } from '../../src/convert/windows.ts';
import { loadModel } from '../../src/engine/engine.ts';
import { specOf } from '../../src/families/index.ts';
import { openFolder } from '../../src/formats/node-folder.ts';
import { readHeader } from '../../src/formats/safetensors.ts';
import { attentionOf, parameterCount } from '../../src/model/spec.ts';
import { memorySource } from '../support/memory-source.ts';
import { parentFiles, textOf, useParents } from '../support/parents.ts';
import {
  mobileR1,
  randomModel,
  type TinyModel,
  type TinyModelName,
  tinyModel,
} from '../support/tiny-models.ts';

const { gpu, withParent } = useParents();

/** A ShishuLM that kept all of its attention: a parent of that family. */
const wholeShishu = (): TinyModel =>
  randomModel(
    {
      ...tinyModel('shishu', 7).configJson,
      num_decoder_front: 4,
      num_mlp: 0,
      num_mlp_shared: 0,
      num_decoder_end: 0,
    },
    7,
  );

describe('analysing', () => {
  const analysed = (without: NonNullable<OpenOptions['without']> = []) =>
    withParent(
      'llama',
      async (parent) => {
        const windows = await textWindows(parent, { text: textOf(480), window: 48 }, () => {});
        const { analysis } = await analyze(parent, windows, { storedBytes: 4 });
        return { analysis, spec: parent.spec };
      },
      { without },
    );

  test('counts the bytes of each block, and times its halves where the GPU can', async () => {
    const { analysis, spec } = await analysed();
    const { blocks, timeNote } = analysis;
    expect(blocks.map(({ layer }) => layer)).toEqual([0, 1, 2]);
    const { hiddenSize: d, vocabSize } = spec;
    const inBlocks = blocks.reduce((sum, { bytes }) => sum + bytes.attention + bytes.mlp, 0);
    expect(inBlocks + 4 * d * (vocabSize + 1)).toBe(4 * parameterCount(spec));
    for (const { layer, bytes } of blocks) {
      const { kvHeads, headDim } = attentionOf(spec).get(layer)!;
      expect(bytes.kvPerToken).toBe(2 * 4 * kvHeads * headDim);
      expect(bytes.map).toBe(4 * (d * d + d));
    }
    expect(timeNote).toMatch(
      gpu().features.timestamps ? /position 47, by timestamp-query/ : /no timestamp-query/,
    );
    for (const { time } of blocks)
      if (gpu().features.timestamps) for (const half of Object.values(time!)) expect(half).toBeGreaterThan(0);
      else expect(time).toBeNull();
  });

  test('says that there are no times where the adapter has no timestamp-query', async () => {
    const { analysis } = await analysed(['timestamps']);
    expect(analysis.timeNote).toMatch(/no timestamp-query/);
    expect(analysis.blocks.map(({ time }) => time)).toEqual([null, null, null]);
    const table = analysisTable(analysis);
    expect(table).toContain(analysis.timeNote);
    expect(table).not.toContain('µs');
    expect(table).toContain('| MLP bytes |');
  });
});

/** A report's stages without their times. */
const untimed = ({ steps }: ConvertReport) => steps.map(({ decode: _, ...stage }) => stage);

describe('text that the model samples', () => {
  test('is kept, and not sampled again', () =>
    withParent('llama', async (parent) => {
      let samples: Awaited<ReturnType<SampleStore['read']>>;
      const kept: SampleStore = {
        read: async () => structuredClone(samples),
        async write(made) {
          samples = structuredClone(made);
        },
      };
      const seen: number[] = [];
      const options = {
        tokens: 400,
        window: 24,
        healTokens: 300,
        seed: 4,
        kept,
        onProgress: (done: number) => seen.push(done),
      };
      const windows = await textWindows(parent, options, () => {});
      const { calibration, choosing, test, healing } = windows;
      const count = countTokens([...calibration, ...choosing, ...test]);
      expect(count).toBeGreaterThanOrEqual(360);
      expect(count).toBeLessThan(460);
      expect(countTokens(healing[0]!.windows)).toBeGreaterThan(countTokens(calibration) + 200);
      expect(seen.at(-1)).toBe(700);
      expect(samples!.texts.every((ids) => ids.length <= 24)).toBe(true);
      seen.length = 0;
      expect(await textWindows(parent, options, () => {})).toEqual(windows);
      expect(seen).toEqual([]);
      // With more to heal with, what is there is gone on from.
      const more = await textWindows(parent, { ...options, healTokens: 400 }, () => {});
      expect(seen[0]).toBeGreaterThan(700);
      expect(more.test).toEqual(test);
    }));
});

describe('converting', () => {
  let folder: string;
  const text = textOf(480);
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'convert-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const run = (like: TinyModelName | TinyModel, out: string, options: ConvertFolderOptions) =>
    convertFolder(
      memorySource(parentFiles(typeof like === 'string' ? tinyModel(like, 7) : like)),
      join(folder, out),
      { text, window: 48, questions: 0, ...options },
      { device: gpu().device },
    );

  test('drops attention into just the public layout, the other weights byte for byte', async () => {
    const report = await run('llama', 'dropped', { layers: [1, 2] });
    expect(report).toMatchObject({ mlpOnly: 2, sharedPairs: 0 });
    expect(report.steps.map(({ step }) => step)).toEqual(['parent', 'attention dropped', 'written']);
    // What was pruned in memory and what was written are one model.
    expect(report.steps[2]!.perplexity).toBeCloseTo(report.steps[1]!.perplexity, 4);
    const child = await openFolder(join(folder, 'dropped'));
    const spec = JSON.parse(await readFile(join(folder, 'dropped', 'config.json'), 'utf8'));
    expect(spec).toMatchObject({
      model_type: 'shishu-llama',
      num_mlp: 2,
      num_mlp_shared: 0,
      num_hidden_layers: 3,
    });
    expect(spec).not.toHaveProperty('linear_layers');
    const { tensors } = await readHeader(child, 'model.safetensors');
    const parent = tinyModel('llama', 7).tensors;
    const gone = [...parent.keys()].filter((name) => !tensors.has(name));
    const attention = [
      'self_attn.q_proj',
      'self_attn.k_proj',
      'self_attn.v_proj',
      'self_attn.o_proj',
      'input_layernorm',
    ];
    expect(gone.sort()).toEqual(
      report.layers
        .flatMap((layer) => attention.map((part) => `model.layers.${layer}.${part}.weight`))
        .sort(),
    );
    for (const [name, { shape, start, end }] of tensors) {
      expect(shape).toEqual(parent.get(name)!.shape);
      const bytes = await child.read('model.safetensors', start, end);
      expect(new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)).toEqual(
        parent.get(name)!.data,
      );
    }
    expect(await readdir(folder)).toEqual(['dropped']);
    expect((await readdir(join(folder, 'dropped'))).sort()).toEqual([
      'README.md',
      'config.json',
      'model.safetensors',
      'report.json',
      'tokenizer.json',
      'tokenizer_config.json',
    ]);
  });

  test('chooses blocks one by one, writes the rest of the order, and goes on where it was stopped', async () => {
    const options = { keepAttention: 1, linear: true };
    const whole = await run('llama', 'chosen', options);
    const choice = whole.choice!;
    const chosen = choice.chosen.map(({ layer }) => layer);
    expect([...chosen].sort()).toEqual(whole.layers);
    expect(whole.layers).toHaveLength(2);
    expect(reportText(whole)).toContain(`in ${choice.passes.toFixed(1)} forward passes over`);
    const analysis = JSON.parse(await readFile(join(folder, 'chosen', 'analysis.json'), 'utf8'));
    const rest = choice.order.slice(2);
    expect(analysis).toEqual({ order: { skip: rest, linear: rest }, maps: 'analysis.safetensors' });
    // Maps of the blocks that are left, of the child as it is: with them it is better than with nothing in their place.
    const child = await openFolder(join(folder, 'chosen'));
    const { maps } = (await readAnalysis(child))!;
    expect(Object.keys(maps)).toEqual([String(rest[0])]);
    const model = await loadModel(child, { device: gpu().device, dtype: 'f32', kv: 'f32' });
    await model.setLinearMaps(maps);
    await model.setPruneOrder(analysis);
    await model.setModes({ level: 0 });
    expect(model.info.modes).toEqual({ [rest[0]!]: 'linear' });
    await model.dispose();

    const stop = new AbortController();
    const log = (line: string): void => {
      if (line.startsWith('block ')) stop.abort();
    };
    const stopped = run('llama', 'again', { ...options, log, signal: stop.signal });
    await expect(stopped).rejects.toMatchObject({ code: 'aborted' });
    const again = await run('llama', 'again', options);
    expect(again.choice!.chosen).toEqual(choice.chosen);
    expect(again.choice!.order).toEqual(choice.order);
    expect(again.choice!.passes).toBeLessThan(0.7 * choice.passes);
    expect(untimed(again)).toEqual(untimed(whole));
    for (const out of ['chosen', 'again']) await rm(join(folder, out), { recursive: true });
  });

  test('takes as many blocks as perplexity allows', async () => {
    const [{ parent, chosen }] = [(await run('llama', 'all', { keepAttention: 0 })).choice!];
    const rises = chosen.map(({ nats }) => Math.expm1(nats - parent.nats));
    const most = Math.max(...rises);
    const over = rises.indexOf(most);
    const maxPerplexity = Math.max(1e-6, 0.999 * most);
    const limited = run('llama', 'limited', { maxPerplexity });
    if (over === 0) await expect(limited).rejects.toThrow(/No block can lose its attention/);
    else expect((await limited).choice!.chosen).toEqual(chosen.slice(0, over));
    for (const out of ['all', 'limited']) await rm(join(folder, out), { recursive: true, force: true });
  });

  test('maps of the last two inputs run as they did in memory', async () => {
    const report = await run('llama', 'two-inputs', { layers: [1, 2], linear: true, inputs: 2 });
    expect(report.steps[3]!.perplexity / report.steps[2]!.perplexity).toBeCloseTo(1, 5);
    const { tensors } = await readHeader(await openFolder(join(folder, 'two-inputs')), 'model.safetensors');
    expect(tensors.get('model.layers.2.linear_attn.weight')?.shape).toEqual([40, 80]);
    const config = JSON.parse(await readFile(join(folder, 'two-inputs', 'config.json'), 'utf8'));
    expect(config).toMatchObject({ model_type: 'shishu', linear_inputs: 2 });
    expect(report.kvBytesPerToken.child).toBe(report.kvBytesPerToken.parent / 3);
    await rm(join(folder, 'two-inputs'), { recursive: true });
  });

  test('keeps a norm of q and k without weights', async () => {
    const report = await run(wholeShishu(), 'normed', { layers: [1, 2] });
    expect(report.steps[2]!.perplexity).toBeCloseTo(report.steps[1]!.perplexity, 4);
    const config = JSON.parse(await readFile(join(folder, 'normed', 'config.json'), 'utf8'));
    expect(config).toMatchObject({ use_qk_norm: true });
    expect(specOf(config).blocks.map(({ feedForward }) => feedForward.width)).toEqual([52, 52, 52, 52]);
  });

  test('keeps linear maps as extra tensors, and what it writes runs as it did in memory', async () => {
    const report = await run('qwen2', 'linear', { layers: [1], linear: true });
    expect(report).toMatchObject({ front: 1, mlpOnly: 1, end: 0, layers: [1] });
    expect(report.steps[3]!.perplexity).toBeCloseTo(report.steps[2]!.perplexity, 4);
    const { tensors } = await readHeader(await openFolder(join(folder, 'linear')), 'model.safetensors');
    expect(tensors.get('model.layers.1.linear_attn.weight')?.shape).toEqual([40, 40]);
    expect(tensors.get('model.layers.1.linear_attn.bias')?.shape).toEqual([40]);
    expect(report.kvBytesPerToken.child).toBe(report.kvBytesPerToken.parent / 2);
  });

  test('makes a ShishuLM of Qwen3, with its code for transformers', async () => {
    const report = await run('qwen3', 'qwen3', { layers: [0], linear: true });
    expect(report.steps[3]!.perplexity).toBeCloseTo(report.steps[2]!.perplexity, 4);
    const config = JSON.parse(await readFile(join(folder, 'qwen3', 'config.json'), 'utf8'));
    expect(config).toMatchObject({ parent_model_type: 'qwen3', layer_types: ['linear', 'full_attention'] });
    const [file] = config.auto_map.AutoConfig.split('.');
    expect(await readFile(join(folder, 'qwen3', `${file}.py`), 'utf8')).toContain('class ShishuConfig');
  });

  test('measures each stage, asks questions, and writes a card', async () => {
    const options = { layers: [0, 1], linear: true, sharePairs: 1, questions: 3 };
    const report = await run('llama', 'measured', options);
    expect(report.steps.map(({ step }) => step)).toEqual([
      'parent',
      'attention dropped',
      'linear maps',
      'written, 1 pair shared (average)',
    ]);
    const [parent, dropped, linear, shared] = report.steps;
    expect(parent!.quality.agreement).toMatchObject({ questions: 3, same: 1 });
    expect(dropped!.quality.agreement!.same).toBeLessThan(1);
    expect(dropped!.quality.agreement!.nats).toBeGreaterThan(parent!.quality.agreement!.nats);
    for (const { quality, decode } of report.steps) {
      expect(quality.other.tokens).toBeGreaterThan(100);
      // The vocabulary has no small letters.
      expect(quality.recall).toBeUndefined();
      expect(decode!.median).toBeGreaterThan(0);
    }
    const size = 40 * 40 + 40;
    expect(linear!.parameters - dropped!.parameters).toBe(2 * size);
    expect(linear!.parameters - shared!.parameters).toBe(3 * 40 * 92 + 40);
    expect(dropped!.kvBytesPerToken * 3).toBe(parent!.kvBytesPerToken);
    expect(report.pairs).toEqual([{ layers: [0, 1], nats: expect.any(Number) }]);
    const card = await readFile(join(folder, 'measured', 'README.md'), 'utf8');
    expect(card).toContain('| written, 1 pair shared (average) |');
    expect(card).toContain('blocks 0, 1 (counted from 0)');
    const written = JSON.parse(await readFile(join(folder, 'measured', 'report.json'), 'utf8'));
    expect(written.steps).toEqual(report.steps);
  });

  test('takes the attention of layers that are apart, and writes their types', async () => {
    const report = await run('llama-untied-bias', 'apart', { layers: [0, 2], linear: true });
    expect(report).toMatchObject({ layers: [0, 2], mlpOnly: 2 });
    const config = JSON.parse(await readFile(join(folder, 'apart', 'config.json'), 'utf8'));
    expect(config.layer_types).toEqual(['linear', 'full_attention', 'linear']);
    expect(report.steps[3]!.perplexity).toBeCloseTo(report.steps[2]!.perplexity, 4);
  });

  test('bounds the rank of linear maps, and says so', async () => {
    const options = { layers: [1, 2], linear: true };
    const whole = await run('llama', 'whole-rank', options);
    const low = await run('llama', 'low-rank', { ...options, rank: 3 });
    expect(whole.r2.map(({ rank }) => rank)).toEqual([40, 40]);
    expect(low.r2.map(({ rank }) => rank)).toEqual([3, 3]);
    expect(reportText(low)).toMatch(/map of block 2: R² .*, rank 3\n/);
    // In f32, whose sums may be in another order.
    expect(low.steps[3]!.perplexity / low.steps[2]!.perplexity).toBeCloseTo(1, 6);
    const shapes = async (child: string): Promise<Record<string, readonly number[]>> => {
      const { tensors } = await readHeader(await openFolder(join(folder, child)), 'model.safetensors');
      const maps = [...tensors].filter(([name]) => name.startsWith('model.layers.2.linear_attn.'));
      return Object.fromEntries(
        maps.map(([name, { shape }]) => [name.slice('model.layers.2.linear_attn.'.length), shape]),
      );
    };
    expect(await shapes('low-rank')).toEqual({
      'down.weight': [3, 40],
      'up.weight': [40, 3],
      'up.bias': [40],
    });
    // Factors of half the hidden size take as much as the whole.
    await run('llama', 'half-rank', { ...options, rank: 20 });
    expect(await shapes('half-rank')).toEqual({ weight: [40, 40], bias: [40] });
    expect(whole.parameters.child - low.parameters.child).toBe(2 * (40 * 40 - 2 * 3 * 40));
    expect(low.steps[3]!.perplexity / whole.steps[3]!.perplexity).not.toBeCloseTo(1, 4);
  });

  test.each(['keep-first', 'keep-second', 'average'] as const)('shares pairs: %s', async (share) => {
    const report = await run('llama-untied-bias', share, { layers: [1, 2], sharePairs: 1, share });
    expect(report.steps.at(-1)!.step).toContain(share);
    const child = await openFolder(join(folder, share));
    const { tensors } = await readHeader(child, 'model.safetensors');
    expect([...tensors.keys()].filter((name) => name.startsWith('model.layers.2.'))).toEqual([]);
    const gate = tensors.get('model.layers.1.mlp.gate_proj.weight')!;
    const stored = new Float32Array(
      (await child.read('model.safetensors', gate.start, gate.end)).slice().buffer,
    );
    const parent = tinyModel('llama-untied-bias', 7).tensors;
    const first = parent.get('model.layers.1.mlp.gate_proj.weight')!.data;
    const second = parent.get('model.layers.2.mlp.gate_proj.weight')!.data;
    if (share === 'keep-first') expect(stored).toEqual(first);
    else if (share === 'keep-second') expect(stored).toEqual(second);
    else expect([stored[0], stored[0]]).not.toEqual([first[0], second[0]]);
  });

  test.each([
    ['a ShishuLM', 'shishu', {}, 'unsupported', /ShishuLM already/],
    ['a target that cannot be reached', 'llama', { saveMemory: 0.99 }, 'bad-argument', /cannot be reached/],
    [
      'a layer that is not there',
      'llama',
      { layers: [3] },
      'bad-argument',
      /Layer 3 is not an attention block/,
    ],
    ['pairs of layers apart', 'llama', { layers: [0, 2], sharePairs: 1 }, 'bad-argument', /at most 0 pairs/],
    ['too many pairs', 'llama', { keepAttention: 1, sharePairs: 2 }, 'bad-argument', /at most 1 pairs/],
    ['healing more than the text', 'mobilellm', { heal: { tokens: 1e5 } }, 'bad-argument', /pass 298 times/],
    ['a rank without maps', 'llama', { rank: 3 }, 'bad-argument', /no linear maps/],
    ['inputs without maps', 'llama', { inputs: 2 }, 'bad-argument', /no linear maps/],
    [
      'too short a text for so many inputs',
      'llama',
      { layers: [1], linear: true, inputs: 16 },
      'bad-argument',
      /480 tokens, a map of 16 positions, of a model of hidden size 40 needs 1829/,
    ],
    ['too many inputs', 'llama', { linear: true, inputs: 17 }, 'bad-argument', /from 1 to 16/],
    ['a rise of nothing', 'llama', { maxPerplexity: 0 }, 'bad-argument', /may rise by 0/],
    ['too high a rank', 'llama', { linear: true, rank: 41 }, 'bad-argument', /1 to the hidden size, 40/],
    ['a short text', 'llama', { text: 'ABC' }, 'bad-argument', /has 3 tokens, .* needs 115/],
    ['a folder that exists', 'llama', { out: 'there' }, 'bad-argument', /exists already/],
  ] as const)('%s is refused and leaves nothing', async (_, name, options, code, message) => {
    const { out = 'refused', ...rest } = options as { out?: string } & ConvertFolderOptions;
    if (out === 'there') await mkdir(join(folder, 'there'));
    const before = (await readdir(folder)).sort();
    await expect(run(name, out, rest)).rejects.toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
    expect((await readdir(folder)).sort()).toEqual(before);
  });

  test('makes a ShishuLM of MobileLLM-R1, and heals it', async () => {
    // The kernels of training take long to compile.
    const heal = inject('full') ? { tokens: 3000 } : undefined;
    const options = { layers: [1, 2], linear: true, heal };
    const report = await run(mobileR1(7), 'r1', options);
    const [parent, , mapped, written] = report.steps;
    expect(parent!.perplexity).toBeLessThan(mapped!.perplexity);
    expect(written!.perplexity).toBeCloseTo(mapped!.perplexity, 4);
    if (heal) expect(report.healing!.perplexity.after).toBeLessThan(0.9 * report.healing!.perplexity.before);
    const config = JSON.parse(await readFile(join(folder, 'r1', 'config.json'), 'utf8'));
    expect(config).toMatchObject({ model_type: 'shishu', parent_model_type: 'llama4_text' });
  });

  test('a disk that is full in the middle of the weights leaves nothing', async () => {
    const before = await readdir(folder);
    const out = join(folder, 'full');
    const options = { layers: [1] };
    async function* cut(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
      for await (const piece of pieces) {
        yield piece.subarray(0, 100);
        throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
      }
    }
    const stage: Stage = async () => {
      const staged = await stageFolder(out, { force: false });
      const write: typeof staged.write = (file, data) =>
        staged.write(file, typeof data === 'object' && Symbol.asyncIterator in data ? cut(data) : data);
      return { ...staged, write };
    };
    const failed = withParent('llama', (parent) =>
      convert(parent, () => textWindows(parent, { text, window: 48 }, () => {}), stage, options, {
        device: gpu().device,
      }),
    );
    await expect(failed).rejects.toMatchObject({ code: 'io', mend: 'Free some disk space.' });
    expect(await readdir(folder)).toEqual(before);
  });

  test('a child gets what is left of its parent’s analysed order', async () => {
    const order = { skip: [2, 0, 1], linear: [1, 2, 0] };
    await run('llama', 'ordered', { layers: [1], order });
    const written = JSON.parse(await readFile(join(folder, 'ordered', 'analysis.json'), 'utf8'));
    expect(written).toEqual({ order: { skip: [2, 0], linear: [2, 0] } });
  });

  test('a folder is replaced when forced', async () => {
    await mkdir(join(folder, 'forced'));
    await run('qwen2', 'forced', { layers: [0], force: true });
    expect(await readdir(join(folder, 'forced'))).toContain('model.safetensors');
  });
});

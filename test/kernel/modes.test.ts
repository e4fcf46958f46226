// Attention that comes and goes while a model runs: every token against the CPU's forward, in which each position runs in the
// modes that the rule of PrefixCache gives it.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadModel, makeRunner } from '../../src/engine/engine.ts';
import type { EngineModel } from '../../src/engine/model-interface.ts';
import { PrefixCache } from '../../src/engine/prefix-cache.ts';
import type { SamplingKind } from '../../src/engine/sampler.ts';
import type { GenerateOptions, GenerateResult, LoadOptions, TokenLogprob } from '../../src/engine/types.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { installLinearMap } from '../../src/model/linear-maps.ts';
import { fillFromCheckpoint } from '../../src/model/load.ts';
import { type Mode, type Modes, pruned } from '../../src/model/prune.ts';
import { kvBytesPerToken, type Plan, planOf, tensorsOf } from '../../src/model/spec.ts';
import { type ReferenceTensors, referenceScheduled } from '../reference/forward.ts';
import { logSoftmax } from '../reference/kernels.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { memorySource } from '../support/memory-source.ts';
import { mulberry32 } from '../support/random.ts';
import { randomTokens, type TinyModelName, tinyFiles, tinyModel } from '../support/tiny-models.ts';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

const CONTEXT = 64;

/** A tiny model, and random linear maps for all of its attention blocks but one. */
function withMaps(name: TinyModelName) {
  const tiny = tinyModel(name, 7);
  const plan = planOf(tiny.spec);
  const layers = plan.flatMap(({ kind, layer }) => (kind === 'attention' ? [layer] : []));
  const d = tiny.spec.hiddenSize;
  const uniform = mulberry32(3);
  const draw = (count: number, scale: number) =>
    Float32Array.from({ length: count }, () => scale * (uniform() - 0.5));
  const maps = new Map(layers.slice(1).map((layer) => [layer, { W: draw(d * d, 0.5), b: draw(d, 0.5) }]));
  const tensors: ReferenceTensors = new Map([
    ...tiny.tensors,
    ...[...maps].flatMap(([layer, { W, b }]) => [
      [`model.layers.${layer}.linear_attn.weight`, { shape: [d, d], data: W }] as const,
      [`model.layers.${layer}.linear_attn.bias`, { shape: [d], data: b }] as const,
    ]),
  ]);
  const source = memorySource({ ...tinyFiles(tiny), ...charTokenizerFiles(tiny.spec.vocabSize) });
  return { spec: tiny.spec, plan, layers, maps, tensors, source };
}
type WithMaps = ReturnType<typeof withMaps>;

async function load({ source, maps }: WithMaps, options: LoadOptions = {}, chunk = 5): Promise<EngineModel> {
  const model = await loadModel(
    source,
    { device: gpu.device, contextLength: CONTEXT, ...options },
    { chunk },
  );
  await model.setLinearMaps(Object.fromEntries(maps));
  return model;
}

function randomModes({ layers, maps }: WithMaps, uniform: () => number): Modes {
  const modes: Record<number, Mode> = {};
  for (const layer of layers) {
    const kinds: Mode[] = maps.has(layer) ? ['attention', 'linear', 'skip'] : ['attention', 'skip'];
    // Attention as often as not, so that many changes go down and many up.
    modes[layer] = uniform() < 0.5 ? 'attention' : kinds[Math.floor(uniform() * kinds.length)]!;
  }
  return modes;
}

async function reply(
  model: EngineModel,
  prompt: readonly number[],
  options: GenerateOptions,
  each: (index: number) => Promise<void> = async () => {},
): Promise<GenerateResult & { logprobs: TokenLogprob[] }> {
  const stream = model.generate(Uint32Array.from(prompt), { ignoreEos: true, ...options });
  const logprobs: TokenLogprob[] = [];
  let next = await stream.next();
  for (; !next.done; next = await stream.next()) {
    if (next.value.logprob) logprobs.push(next.value.logprob);
    await each(logprobs.length);
  }
  return { ...next.value, logprobs };
}

/** What the rule says of one sequence, said again in the plainest way: the modes of each position and where its K and V are. */
class Schedule {
  readonly positions: { token: number; plan: Plan; kv: Set<number> }[] = [];

  /** Runs `tokens` in a plan; returns how many positions were kept. */
  run(tokens: readonly number[], plan: Plan): number {
    const differs = tokens.findIndex((token, i) => this.positions[i]?.token !== token);
    const same = Math.min(tokens.length - 1, differs < 0 ? tokens.length : differs);
    const rank = { mlp: 0, linear: 1, attention: 2, conv: 2 };
    const there = ({ kv }: { kv: Set<number> }): boolean =>
      plan.every(({ kind, layer }) => kind !== 'attention' || kv.has(layer));
    const begin = this.positions.slice(0, same);
    let kept = same;
    if (!begin.every((p) => there(p) && p.plan.every(({ kind }, i) => rank[kind] >= rank[plan[i]!.kind]))) {
      const other = begin.findIndex((p) => !there(p) || p.plan.some(({ kind }, i) => kind !== plan[i]!.kind));
      kept = other < 0 ? same : other;
    }
    this.positions.length = kept;
    for (const token of tokens.slice(kept)) this.append(token, plan);
    return kept;
  }

  append(token: number, plan: Plan): void {
    const kv = new Set(plan.flatMap(({ kind, layer }) => (kind === 'attention' ? [layer] : [])));
    this.positions.push({ token, plan, kv });
  }

  release(plan: Plan): void {
    for (const { kv } of this.positions)
      for (const layer of kv) if (plan[layer]!.kind !== 'attention') kv.delete(layer);
  }

  /** Every position ran in this plan: its logits are a fresh run's. */
  isFresh(plan: Plan): boolean {
    return this.positions.every((p) => p.plan.every(({ kind }, i) => kind === plan[i]!.kind));
  }

  /** Log-probabilities of the tokens after positions `from` up. */
  logprobs({ spec, tensors }: WithMaps, from: number): Float64Array[] {
    const tokens = this.positions.map(({ token }) => token);
    const plans = this.positions.map(({ plan }) => plan);
    const logits = referenceScheduled(spec, tensors, tokens, plans);
    const { vocabSize } = spec;
    return tokens
      .slice(from)
      .map((_, i) => logSoftmax(logits.subarray((from + i) * vocabSize, (from + i + 1) * vocabSize)));
  }
}

function expectSame(found: TokenLogprob['top'], expected: Float64Array, label: string): void {
  expect(found.length, label).toBeGreaterThan(5);
  for (const { tokenId, logprob } of found)
    expect(Math.abs(logprob - expected[tokenId]!), `${label}, token ${tokenId}`).toBeLessThan(3e-4);
}

test("random changes between and within replies: every token is the reference forward's", async () => {
  const parts = withMaps('shishu');
  const { plan: loaded, maps, spec } = parts;
  const uniform = mulberry32(6);
  const below = (n: number): number => Math.floor(uniform() * n);
  const model = await load(parts);
  const schedule = new Schedule();
  const seen = { down: 0, up: 0, within: 0, released: 0 };
  let plan = loaded;
  const change = async (): Promise<void> => {
    const modes = randomModes(parts, uniform);
    plan = pruned(loaded, modes, maps);
    await model.setModes(modes);
  };
  let text = randomTokens(spec, 6, 1);
  for (let round = 0; round < 12; round++) {
    if (text.length > CONTEXT - 16) text = text.slice(0, 4 + below(12));
    if (uniform() < 0.8) await change();
    if (uniform() < 0.3) {
      await model.releaseUnusedKv();
      schedule.release(plan);
      seen.released++;
    }
    text = [...text, ...randomTokens(spec, 1 + below(6), 100 + round)];
    const before = schedule.positions.length;
    const kept = schedule.run(text, plan);
    if (!schedule.isFresh(plan)) seen.down++;
    else if (kept < Math.min(before, text.length - 1)) seen.up++;

    const within = new Set([1 + below(4), 1 + below(6)]);
    const expected: Float64Array[] = [];
    let start = text.length - 1;
    const known = [...text];
    const settle = (): void => {
      expected.push(...schedule.logprobs(parts, start));
      start = schedule.positions.length;
    };
    const maxTokens = 4 + below(4);
    const stream = model.generate(Uint32Array.from(text), {
      ignoreEos: true,
      maxTokens,
      logprobs: true,
      topLogprobs: 20,
    });
    const found: TokenLogprob[] = [];
    let next = await stream.next();
    for (; !next.done; next = await stream.next()) {
      found.push(next.value.logprob!);
      known.push(next.value.tokenId);
      const last = found.length === maxTokens;
      if (!last && within.has(found.length)) {
        settle();
        await change();
        const length = known.length;
        schedule.run(known, plan);
        // What follows is of the last known token's position.
        start = length - 1;
        seen.within++;
      } else if (!last) schedule.append(next.value.tokenId, plan);
    }
    settle();
    expect(next.value.usage.cachedTokens, `round ${round}`).toBe(kept);
    for (const [i, { top }] of found.entries()) expectSame(top, expected[i]!, `round ${round}, token ${i}`);
    text = known;
  }
  await model.dispose();
  for (const [kind, times] of Object.entries(seen)) expect(times, kind).toBeGreaterThan(0);
});

describe('a model', () => {
  const parts = withMaps('shishu');
  const { spec, plan: loaded, maps } = parts;
  const prompt = randomTokens(spec, 20, 9);
  const top: GenerateOptions = { maxTokens: 6, logprobs: true, topLogprobs: 20 };

  test('what was scored need not run again in the same modes, and runs again in fuller ones', async () => {
    const model = await load(parts);
    const full = await reply(model, prompt, top);
    await model.score(prompt);
    const again = await reply(model, prompt, top);
    expect(again.usage.cachedTokens).toBe(19);
    expect(again.tokenIds).toEqual(full.tokenIds);
    await model.score(prompt, { modes: { level: 0 } });
    const fresh = await reply(model, prompt, top);
    expect(fresh.usage.cachedTokens).toBe(0);
    expect(fresh.tokenIds).toEqual(full.tokenIds);
    await model.dispose();
  });

  test('after going up, logits are those of a fresh run, also when KV was released in between', async () => {
    const model = await load(parts);
    const full = await reply(model, prompt, top);
    const bytes = model.info.bytes.kv;
    expect(bytes).toBe(CONTEXT * kvBytesPerToken(spec, loaded, 4));
    const { dispatchesPerToken } = model.info;

    await model.setModes({ 1: 'skip', 7: 'skip' }, { releaseKv: true });
    expect(model.info.modes).toEqual({ 0: 'attention', 1: 'skip', 7: 'skip' });
    expect(model.info.bytes.kv).toBe(bytes / 3);
    expect(model.info.kvBytesPerToken).toBe(kvBytesPerToken(spec, loaded, 4) / 3);
    expect(model.info.dispatchesPerToken).toBe(dispatchesPerToken - 8);
    const low = await reply(model, prompt, top);
    expect(low.usage.cachedTokens).toBe(19);

    await model.setModes({ level: 1 });
    expect(model.info.bytes.kv).toBe(bytes);
    expect(model.info.dispatchesPerToken).toBe(dispatchesPerToken);
    const again = await reply(model, prompt, top);
    expect(again.usage.cachedTokens).toBe(0);
    expect(again.tokenIds).toEqual(full.tokenIds);
    for (const [i, { top }] of again.logprobs.entries())
      for (const [j, { tokenId, logprob }] of top.entries()) {
        expect(tokenId).toBe(full.logprobs[i]!.top[j]!.tokenId);
        expect(Math.abs(logprob - full.logprobs[i]!.top[j]!.logprob)).toBeLessThan(1e-4);
      }
    await model.dispose();
  });

  test('modes of one call leave those of the model; score and logits run fresh', async () => {
    const model = await load(parts);
    const modes = { 0: 'skip', 7: 'linear' } as const;
    const own = await reply(model, prompt, { ...top, modes }, async (i) => {
      if (i === 2) await model.setModes({ level: 1 });
    });
    expect(model.info.modes[0]).toBe('attention');
    const schedule = new Schedule();
    const plan = pruned(loaded, modes, maps);
    schedule.run([...prompt, ...own.tokenIds.slice(0, -1)], plan);
    const expected = schedule.logprobs(parts, prompt.length - 1);
    for (const [i, { top }] of own.logprobs.entries()) expectSame(top, expected[i]!, `token ${i}`);

    const { logprobs } = await model.score([...prompt, ...own.tokenIds], { modes });
    for (const [i, { logprob }] of own.logprobs.entries())
      expect(Math.abs(logprob - logprobs[prompt.length + i]!)).toBeLessThan(3e-4);
    await model.setModes(modes);
    const inModes = await model.logits(prompt);
    await model.setModes({});
    expect(await model.logits(prompt, { modes })).toEqual(inModes);
    expect(await model.logits(prompt)).not.toEqual(inModes);
    await model.dispose();
  });

  test('a change within a reply disturbs neither draws nor penalties', async () => {
    const model = await load(parts);
    const options: GenerateOptions = {
      maxTokens: 24,
      temperature: 1.3,
      seed: 5,
      frequencyPenalty: 2,
      repetitionPenalty: 1.3,
    };
    const straight = await reply(model, prompt, options);
    await model.reset();
    let index = 0;
    const changed = await reply(model, prompt, options, async () => {
      // The same modes, as a new plan: the reply begins anew behind each token.
      if (index++ % 3 === 1) await model.setModes({});
    });
    expect(changed.tokenIds).toEqual(straight.tokenIds);
    await model.dispose();
  });

  test('what makes no sense is refused, and changes nothing', async () => {
    const model = await loadModel(parts.source, { device: gpu.device, contextLength: CONTEXT });
    const refused = { code: 'bad-argument' };
    await expect(model.setModes({ 3: 'skip' })).rejects.toMatchObject(refused);
    await expect(model.setModes({ 1: 'linear' })).rejects.toThrow(/no linear map/);
    await expect(model.setModes({ level: 2 })).rejects.toMatchObject(refused);
    await expect(model.generate('A', { modes: { level: -1 } }).next()).rejects.toMatchObject(refused);
    await expect(model.score([1, 2], { modes: { 9: 'skip' } })).rejects.toMatchObject(refused);
    await expect(model.setPruneOrder([3])).rejects.toThrow(/Layer 3/);
    const d = spec.hiddenSize;
    const good = { W: new Float32Array(d * d), b: new Float32Array(d) };
    for (const [map, message] of [
      [{ 3: good }, /Layer 3/],
      [{ 1: { ...good, W: new Float32Array(5) } }, /W of layer 1's linear map is not a Float32Array of 1936/],
      [{ 1: { ...good, b: new Float32Array(d).fill(Number.NaN) } }, /b\[0\] of layer 1's linear map is NaN/],
    ] as const)
      await expect(model.setLinearMaps(map)).rejects.toThrow(message);
    expect(model.info.modes).toEqual({ 0: 'attention', 1: 'attention', 7: 'attention' });
    await model.setPruneOrder([0]);
    await model.setModes({ level: 0.6 });
    expect(model.info.modes[0]).toBe('skip');
    await model.dispose();
    await expect(model.setModes({})).rejects.toMatchObject({ code: 'disposed' });
  });
});

test('sequences that decode together keep caches of their own through random changes', async () => {
  const parts = withMaps('shishu');
  const { spec, plan: loaded, maps, source } = parts;
  const specs = tensorsOf(spec);
  const checkpoint = await openCheckpoint(source, specs);
  const sizes = { dtype: 'f32', kv: 'f32', contextLength: CONTEXT, batch: 3, chunk: 5 } as const;
  const runner = await makeRunner(gpu, spec, sizes, (fill) =>
    fillFromCheckpoint(gpu, fill, checkpoint, specs),
  );
  for (const [layer, map] of maps) installLinearMap(gpu, runner.ledger, runner.parts.weights, layer, map);
  const kind: SamplingKind = { greedy: true, adjusted: false, bias: false, mask: false, top: 20 };
  const uniform = mulberry32(17);
  const sequences = [0, 1, 2].map((index) => ({
    index,
    text: randomTokens(spec, 3 + 2 * index, 40 + index),
    cache: new PrefixCache(),
    schedule: new Schedule(),
    found: [] as TokenLogprob['top'][],
  }));
  for (let round = 0; round < 6; round++) {
    const plan = pruned(loaded, randomModes(parts, uniform), maps);
    if (round === 3) {
      const gone = runner.releaseUnusedKv(plan);
      for (const { cache, schedule } of sequences) {
        cache.release(gone);
        schedule.release(plan);
      }
    }
    await runner.ready(plan);
    for (const s of sequences) {
      s.text.push(...randomTokens(spec, 1 + Math.floor(3 * uniform()), 60 + round));
      const kept = s.cache.reusable(s.text, plan);
      expect(kept).toBe(s.schedule.run(s.text, plan));
      s.cache.truncate(kept);
      const { tokens, logprobs } = await runner.prefill(plan, s.index, s.text.slice(kept), kept, kind);
      s.cache.append(s.text.slice(kept), plan);
      s.text.push(tokens[s.index]!);
      s.found = [logprobs![s.index]!];
    }
    const longest = Math.max(...sequences.map(({ text }) => text.length));
    const steps = runner.decode(plan, kind, longest - 1, { steps: 2 });
    for await (const { tokens, logprobs } of steps)
      for (const s of sequences) {
        s.cache.append(s.text.slice(-1), plan);
        s.schedule.append(s.text.at(-1)!, plan);
        s.text.push(tokens[s.index]!);
        s.found.push(logprobs![s.index]!);
      }
    for (const { index, schedule, found } of sequences) {
      const expected = schedule.logprobs(parts, schedule.positions.length - 3);
      for (const [i, top] of found.entries())
        expectSame(top.slice(0, -1), expected[i]!, `round ${round}, sequence ${index}, token ${i}`);
    }
  }
  runner.ledger.releaseAll();
});

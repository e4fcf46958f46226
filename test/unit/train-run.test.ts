import { beforeAll, describe, expect, it } from 'vitest';
import { chatAt, toyCorpus } from '../../demo/corpus/chats.ts';
import { shapeSpec } from '../../src/bench/models.ts';
import { BatchStream, heldOutBatches } from '../../src/train/batches.ts';
import { Bpe } from '../../src/train/bpe.ts';
import { CONTEXT_WEIGHT, chatData, sampleOf } from '../../src/train/chat-corpus.ts';
import { textOf } from '../../src/train/chat-format.ts';
import { initialWeights } from '../../src/train/initial.ts';
import { JaxTrainer, startJax } from '../../src/train/jax-trainer.ts';
import { run, type TrainingModel } from '../../src/train/run.ts';
import type { Start } from '../../src/train/trainer.ts';

const texts = Array.from({ length: 1000 }, (_, i) => textOf(chatAt(1, i).turns));
const bpe = Bpe.train(texts, 512);
const sizes = { layers: 4, hidden: 48, ffn: 96, heads: 4, kvHeads: 2, vocab: 512 };
const parent = shapeSpec(sizes, [4, 0, 0, 0]);
const child = shapeSpec(sizes, [2, 2, 1, 0]);
const shape = { rows: 4, length: 96, pad: 3 };
const data = chatData(toyCorpus, 1);
const source = data.training(bpe);

describe('batches', () => {
  it('hold whole chats, shifted by one, and little padding', () => {
    const stream = new BatchStream(source, shape);
    let [count, size] = [0, 0];
    for (let i = 0; i < 20; i++) {
      const batch = stream.next();
      count += batch.count;
      size += 4 * 97;
      for (let at = 0; at + 1 < batch.tokens.length; at++)
        if (batch.weights[at]! > 0 && (at + 1) % 96 !== 0)
          expect(batch.tokens[at + 1]).toBe(batch.targets[at]);
      for (let row = 0; row < 4; row++) expect(batch.tokens[96 * row]).toBe(bpe.id('<|begin|>'));
    }
    expect(count / size).toBeGreaterThan(0.9);
  });

  it('go on from a kept state as if never stopped', () => {
    const unbroken = new BatchStream(source, shape);
    for (let i = 0; i < 5; i++) unbroken.next();
    const resumed = new BatchStream(source, shape, JSON.parse(JSON.stringify(unbroken.state)));
    for (let i = 0; i < 5; i++) expect(resumed.next()).toEqual(unbroken.next());
  });

  it('count what the assistant says in full and the rest less', () => {
    const { ids, weights } = sampleOf(bpe, chatAt(1, 0));
    const at = ids.indexOf(bpe.id('<|assistant|>'));
    expect(weights.slice(0, at + 1).every((weight) => weight === CONTEXT_WEIGHT)).toBe(true);
    expect(weights[at + 1]).toBe(1);
    expect(weights.at(-1)).toBe(1);
  });
});

describe('training', () => {
  beforeAll(() => startJax());
  const trainer = (spec: typeof parent, steps: number, from?: Start) =>
    new JaxTrainer(spec, from ?? { weights: initialWeights(spec, 1) }, {
      schedule: { steps, learningRate: 4e-3, warmUp: 5 },
      length: 96,
    });

  it('resumed from a checkpoint equals training that never stopped', async () => {
    const whole: TrainingModel = { name: 'whole', trainer: trainer(child, 12), curve: [] };
    await run([whole], { steps: 12, every: 4, stream: new BatchStream(source, shape) });

    const first: TrainingModel = { name: 'first', trainer: trainer(child, 12), curve: [] };
    const stopped = await run([first], { steps: 6, every: 4, stream: new BatchStream(source, shape) });
    first.curve.pop();
    const kept = JSON.parse(JSON.stringify(stopped));
    const second: TrainingModel = {
      name: 'second',
      trainer: trainer(child, 12, await first.trainer.snapshot()),
      curve: first.curve,
    };
    await run([second], {
      steps: 12,
      every: 4,
      stream: new BatchStream(source, shape, kept.stream),
      from: kept,
    });
    expect(second.curve.at(-1)).toEqual(whole.curve.at(-1));
    expect(await second.trainer.snapshot()).toEqual(await whole.trainer.snapshot());
  });

  it('stops after the step in which it is aborted', async () => {
    const stop = new AbortController();
    const runner: TrainingModel = { name: 'a', trainer: trainer(child, 9), curve: [] };
    await run([runner], {
      steps: 9,
      every: 2,
      stream: new BatchStream(source, shape),
      signal: stop.signal,
      onProgress: () => stop.abort(),
    });
    expect(runner.trainer.step).toBe(2);
  });

  it('lowers the loss of parent and child from above 6 to below 4.2 nats in 100 steps', async () => {
    const runners: TrainingModel[] = [parent, child].map((spec, i) => ({
      name: `${i}`,
      trainer: trainer(spec, 100),
      curve: [],
    }));
    const heldOut = heldOutBatches(data, bpe, shape, 4);
    for (const { trainer } of runners) expect(await trainer.loss(heldOut[0]!)).toBeGreaterThan(6);
    await run(runners, { steps: 100, stream: new BatchStream(source, shape), heldOut });
    for (const { curve } of runners) {
      expect(curve.at(-1)!.loss).toBeLessThan(4.2);
      expect(curve.at(-1)!.heldOut!).toBeLessThan(4.2);
    }
  });

  it('a student is drawn to its teacher', async () => {
    const teacher = { spec: parent, weights: initialWeights(parent, 7), mix: 1 };
    const student = new JaxTrainer(
      child,
      { weights: initialWeights(child, 8) },
      {
        schedule: { steps: 30, learningRate: 4e-3, warmUp: 5 },
        length: 96,
        teacher,
      },
    );
    const stream = new BatchStream(source, shape);
    const losses: number[] = [];
    for (let i = 0; i < 30; i++) losses.push((await student.train(stream.next())).loss);
    // With mix 1 the loss is the divergence alone, which two equal models have at 0.
    expect(losses[0]).toBeLessThan(2);
    expect(losses.at(-1)! / losses[0]!).toBeLessThan(0.7);
    student.dispose();
  });
});

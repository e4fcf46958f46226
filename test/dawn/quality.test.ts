// What a model is worth, and what pairs cost that share an MLP, on real WebGPU against the reference forward.
import { describe, expect, test } from 'vitest';
import { pairCosts } from '../../src/convert/pairs.ts';
import { measureQuality } from '../../src/convert/quality.ts';
import { averageMlp, type Mlp } from '../../src/convert/share.ts';
import { planOf } from '../../src/model/spec.ts';
import { type ReferenceTensor, referenceLogits } from '../reference/forward.ts';
import { useParents } from '../support/parents.ts';
import { randomTokens, type TinyModel } from '../support/tiny-models.ts';

const { withParent } = useParents();

/** Log-probabilities and the likeliest, by row. */
function scores({ spec, tensors }: TinyModel, ids: readonly number[]) {
  const logits = referenceLogits(spec, tensors, ids, planOf(spec));
  const vocab = spec.vocabSize;
  return ids.slice(0, -1).map((_, row) => {
    const of = logits.subarray(row * vocab, (row + 1) * vocab);
    const sum = of.reduce((total, value) => total + Math.exp(value), 0);
    return { logprob: of[ids[row + 1]!]! - Math.log(sum), top: of.indexOf(Math.max(...of)) };
  });
}

test('text, recall and agreement are those of the reference', () =>
  withParent('llama', async (parent, model) => {
    const text = [randomTokens(model.spec, 20, 1), randomTokens(model.spec, 9, 2)];
    const list = randomTokens(model.spec, 6, 3);
    const prompt = randomTokens(model.spec, 5, 4);
    const likeliest = scores(model, [...prompt, 0]).at(-1)!.top;
    const answers = [
      { prompt, ids: [likeliest, 7] },
      { prompt: randomTokens(model.spec, 2000, 5), ids: [1] },
    ];
    const recall = [{ ids: [...list, ...list], second: 7 }];
    const done: number[] = [];
    const quality = await measureQuality(
      parent,
      answers,
      { heldOut: text, other: [text[1]!], recall },
      { onProgress: (at, total) => done.push(at, total) },
    );
    const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
    const nats = text.flatMap((ids) => scores(model, ids).map(({ logprob }) => -logprob));
    expect(quality.heldOut.tokens).toBe(27);
    expect(quality.heldOut.nats).toBeCloseTo(mean(nats), 5);
    expect(quality.heldOut.perplexity).toBeCloseTo(Math.exp(mean(nats)), 3);
    expect(quality.other.nats).toBeCloseTo(mean(nats.slice(19)), 5);
    const second = scores(model, [...list, ...list]).slice(6);
    expect(quality.recall!.nats).toBeCloseTo(mean(second.map(({ logprob }) => -logprob)), 5);
    expect(quality.recall!.accuracy).toBe(mean(second.map(({ top }, i) => Number(top === list[i + 1]))));
    // The answer that the context has no room for is left out.
    const answer = scores(model, [...prompt, likeliest, 7]).slice(4);
    expect(quality.agreement).toMatchObject({ questions: 1, tokens: 2 });
    expect(quality.agreement!.nats).toBeCloseTo(mean(answer.map(({ logprob }) => -logprob)), 5);
    expect(quality.agreement!.same).toBe(answer[1]!.top === 7 ? 1 : 0.5);
    expect(done).toEqual([1, 5, 2, 5, 3, 5, 4, 5, 5, 5]);
  }));

describe('pairs that share an MLP', () => {
  const windows = (spec: TinyModel['spec']) => [randomTokens(spec, 24, 8), randomTokens(spec, 24, 9)];

  test.each(['llama', 'qwen3', 'llama-untied-bias'] as const)('cost in %s what the reference finds', (name) =>
    withParent(name, async (parent, model) => {
      const text = windows(model.spec);
      const nats = (tensors: ReadonlyMap<string, ReferenceTensor>): number => {
        const all = text.flatMap((ids) => scores({ ...model, tensors: new Map(tensors) }, ids));
        return -all.reduce((sum, { logprob }) => sum + logprob, 0) / all.length;
      };
      const mlpOf = (layer: number): Mlp => {
        const { width } = model.spec.blocks[layer]!.feedForward;
        const at = (of: string) => model.tensors.get(`model.layers.${layer}.${of}`)?.data;
        return {
          d: model.spec.hiddenSize,
          width,
          norm: at('post_attention_layernorm.weight'),
          gate: at('mlp.gate_proj.weight')!,
          up: at('mlp.up_proj.weight')!,
          down: at('mlp.down_proj.weight')!,
          gateBias: at('mlp.gate_proj.bias'),
          upBias: at('mlp.up_proj.bias'),
          downBias: at('mlp.down_proj.bias'),
        };
      };
      const shared = averageMlp(mlpOf(0), mlpOf(1));
      const tensors = new Map<string, ReferenceTensor>(model.tensors);
      const put = (layer: number, of: string, data: Float32Array | undefined): void => {
        const key = `model.layers.${layer}.${of}`;
        if (data) tensors.set(key, { shape: model.tensors.get(key)!.shape, data });
      };
      for (const layer of [0, 1]) {
        put(layer, 'post_attention_layernorm.weight', shared.norm);
        for (const which of ['gate', 'up', 'down'] as const) {
          put(layer, `mlp.${which}_proj.weight`, shared[which]);
          put(layer, `mlp.${which}_proj.bias`, shared[`${which}Bias`]);
        }
      }
      const [cost, again] = [
        await pairCosts(parent, parent, [[0, 1]], text, 'average'),
        await pairCosts(parent, parent, [[0, 1]], text, 'average'),
      ];
      expect(cost).toEqual([
        { layers: [0, 1], nats: expect.closeTo(nats(tensors) - nats(model.tensors), 4) },
      ]);
      // The blocks have their own MLPs again.
      expect(again[0]!.nats).toBeCloseTo(cost[0]!.nats, 6);
    }),
  );
});

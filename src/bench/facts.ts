// What a result tells of the models that were measured.
import { attentionOf, kvBytesPerToken, kvCapacity, parameterCount } from '../model/spec.ts';
import type { Session } from './open.ts';
import type { ModelFacts } from './result.ts';

/** Facts of a model that is on the GPU. */
export async function factsOf({ asked, label, weights, spec, plan, runner }: Session): Promise<ModelFacts> {
  const { ledger, parts } = runner;
  const element = parts.kv.dtype === 'f32' ? 4 : 2;
  const room = { context: Number.POSITIVE_INFINITY, rows: parts.scratch.rows };
  return {
    spec: asked,
    label,
    weights,
    parameters: parameterCount(spec),
    layers: spec.blocks.length,
    attentionBlocks: plan.filter(({ kind }) => kind === 'attention').length,
    dtype: [...parts.weights.mlp.values()][0]!.down.parts[0]!.dtype,
    kv: parts.kv.dtype,
    context: parts.kv.context,
    maxPositions: spec.maxPositions,
    bytes: {
      weights: ledger.bytes('weights'),
      kv: ledger.bytes('kv'),
      scratch: ledger.bytes('scratch'),
      total: ledger.bytes(),
    },
    kvBytesPerToken: kvBytesPerToken(spec, plan, element),
    kvWindows: [...attentionOf(spec)].flatMap(([layer, mixer]) =>
      mixer.window === undefined
        ? []
        : [
            {
              bytesPerToken: kvBytesPerToken(spec, [plan[layer]!], element),
              tokens: kvCapacity(mixer, room),
            },
          ],
    ),
    dispatchesPerToken: (await runner.decodeDispatches(plan)).length,
  };
}

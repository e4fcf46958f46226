import { ShishuError } from '../errors.ts';
import { isPlain } from '../model/fold.ts';
import { attentionOf, convOf, type ModelSpec } from '../model/spec.ts';

/** @throws ShishuError `unsupported` for a config that the engine runs and the trainer doesn't. */
export function checkTrainable(spec: ModelSpec): void {
  const refuse = (what: string): never => {
    throw new ShishuError('unsupported', `The trainer has no ${what}.`, {
      mend: 'It trains models of type llama, qwen2, qwen3 and shishu-llama, and others that compute the same.',
    });
  };
  if (convOf(spec).size > 0) refuse('short convolutions');
  for (const { rope, headDim } of attentionOf(spec).values()) {
    if (rope?.interleaved) refuse('rotary embeddings of neighbouring dimensions');
    if (headDim % 4 !== 0) refuse(`heads of ${headDim} numbers`);
  }
  if (!isPlain(spec))
    refuse('factors beside the weights, windows, norms after, or another activation than silu');
}

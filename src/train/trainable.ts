import { ShishuError } from '../errors.ts';
import { isPlain } from '../model/fold.ts';
import { attentionOf, convOf, type ModelSpec } from '../model/spec.ts';

/** @throws ShishuError `unsupported` for a config that the engine runs and the trainer doesn't. */
export function checkTrainable(spec: ModelSpec): void {
  const refuse = (what: string): never => {
    throw new ShishuError('unsupported', `The trainer has no ${what}.`, {
      mend: 'It trains models of type llama and shishu-llama without biases.',
    });
  };
  if (convOf(spec).size > 0) refuse('short convolutions');
  for (const mixer of attentionOf(spec).values()) {
    if (mixer.q.bias || mixer.out.bias) refuse('biases');
    if (typeof mixer.qkNorm === 'object') refuse('weighted norms of q and k');
    if (!mixer.rope) refuse('attention without rotary embeddings');
    else if (mixer.rope.interleaved) refuse('rotary embeddings of neighbouring dimensions');
    else if (mixer.rope.scaling.type !== 'none') refuse('scaled rotary embeddings');
  }
  if (!isPlain(spec))
    refuse('factors beside the weights, windows, norms after, or another activation than silu');
  if (spec.blocks.some(({ feedForward }) => feedForward.down.bias)) refuse('biases');
}

/**
 * Loads a module that uses @jax-js/jax, which is an optional package.
 * @throws ShishuError `unsupported` where it is not installed
 */
export async function loadTraining<T>(load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    if (!/@jax-js\//.test((cause as Error).message)) throw cause;
    throw new ShishuError('unsupported', 'Training needs the package @jax-js/jax.', {
      mend: 'Install it: npm install @jax-js/jax',
      cause,
    });
  }
}

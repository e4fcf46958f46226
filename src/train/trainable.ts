import { ShishuError } from '../errors.ts';
import type { ModelConfig } from '../model/config.ts';

/** @throws ShishuError `unsupported` for a config that the engine runs and the trainer doesn't. */
export function checkTrainable(config: ModelConfig): void {
  const refuse = (what: string): never => {
    throw new ShishuError('unsupported', `The trainer has no ${what}.`, {
      mend: 'It trains models of type llama and shishu-llama without biases.',
    });
  };
  if (config.qkvBias || config.attentionOutBias || config.mlpBias) refuse('biases');
  if (config.qkNorm === 'weighted') refuse('weighted norms of q and k');
  if (config.ropeScaling.type !== 'none') refuse('scaled rotary embeddings');
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

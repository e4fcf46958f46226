import * as jax from '@jax-js/jax';

const { numpy: np } = jax;
type Tensor = jax.Array;

/** Log-softmax of `(n, vocab)` over the last axis. */
export function logSoftmax(logits: Tensor): Tensor {
  const max = jax.lax.stopGradient(np.max(logits.ref, -1, { keepdims: true }));
  const shifted = logits.sub(max);
  return shifted.ref.sub(np.log(np.sum(np.exp(shifted), -1, { keepdims: true })));
}

/**
 * Weighted mean cross-entropy, nats.
 * @param logits `(n, vocab)`
 * @param targets `(n)` int32
 * @param weights `(n)`, their sum is 1
 */
export function crossEntropy(logits: Tensor, targets: Tensor, weights: Tensor): Tensor {
  const [n, vocab] = logits.shape as [number, number];
  const targetLogProbs = np.sum(logSoftmax(logits).mul(jax.nn.oneHot(targets.reshape([n]), vocab)), -1);
  return np.negative(np.sum(targetLogProbs.mul(weights)));
}

/**
 * `mix * KL(teacher || student) + (1 - mix) * cross-entropy`, nats.
 * @param logits the student's, `(n, vocab)`
 * @param teacher logits `(n, vocab)`, constant
 */
export function distillation(
  logits: Tensor,
  teacher: Tensor,
  targets: Tensor,
  weights: Tensor,
  mix: number,
): Tensor {
  const studentLogProbs = logSoftmax(logits.ref);
  const teacherLogProbs = logSoftmax(teacher);
  const divergence = np.sum(np.exp(teacherLogProbs.ref).mul(teacherLogProbs.sub(studentLogProbs)), -1);
  const kl = np.sum(divergence.mul(weights.ref));
  return kl.mul(mix).add(crossEntropy(logits, targets, weights).mul(1 - mix));
}

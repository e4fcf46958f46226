import * as jax from '@jax-js/jax';
import type { Params } from './jax-model.ts';

const { numpy: np } = jax;

const BETA1 = 0.9;
const BETA2 = 0.95;
const EPSILON = 1e-8;
const WEIGHT_DECAY = 0.1;
const MAX_GRADIENT_NORM = 1;

/** Learning rate and Adam's two bias corrections, `(3)`. An array, so that the step is compiled once for all values. */
export function hyperparameters(rate: number, step: number): jax.Array {
  return np.array(new Float32Array([rate, 1 / (1 - BETA1 ** step), 1 / (1 - BETA2 ** step)]));
}

/** AdamW's running means of the gradient (first moment) and of its square (second moment). */
export interface OptimizerState extends Record<string, Params> {
  first: Params;
  second: Params;
}

export const zerosLike = (params: Params): Params =>
  Object.fromEntries(Object.entries(params).map(([name, array]) => [name, np.zerosLike(array.ref)]));

/**
 * AdamW (Loshchilov and Hutter, arXiv 1711.05101) with the gradient clipped to a global norm of 1; gains are not
 * decayed. Consumes all arguments.
 * @returns parameters, moments, and the gradient's norm before clipping
 */
export function adamW(
  params: Params,
  gradients: Params,
  { first, second }: OptimizerState,
  hyper: jax.Array,
): [Params, OptimizerState, jax.Array] {
  const names = Object.keys(params);
  const norm = np.sqrt(
    names.map((name) => np.sum(np.square(gradients[name]!.ref))).reduce((a, b) => a.add(b)),
  );
  const scale = np.minimum(np.reciprocal(norm.ref.add(1e-6)).mul(MAX_GRADIENT_NORM), 1);
  const rate = hyper.ref.slice(0);
  const correction1 = hyper.ref.slice(1);
  const correction2 = hyper.slice(2);
  const out: [Params, OptimizerState] = [{}, { first: {}, second: {} }];
  for (const name of names) {
    const weight = params[name]!;
    const gradient = gradients[name]!.mul(scale.ref);
    const mean = first[name]!.mul(BETA1).add(gradient.ref.mul(1 - BETA1));
    const square = second[name]!.mul(BETA2).add(np.square(gradient).mul(1 - BETA2));
    const update = mean.ref
      .mul(correction1.ref)
      .div(np.sqrt(square.ref.mul(correction2.ref)).add(EPSILON))
      .mul(rate.ref);
    const decayed = weight.ndim >= 2 ? weight.mul(rate.ref.mul(-WEIGHT_DECAY).add(1)) : weight;
    out[0][name] = decayed.sub(update);
    out[1].first[name] = mean;
    out[1].second[name] = square;
  }
  for (const array of [scale, rate, correction1, correction2]) array.dispose();
  return [...out, norm];
}

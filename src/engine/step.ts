import type { Sampler as SamplerOptions } from '../kernels/sample.ts';
import type { Plan } from '../model/spec.ts';
import type { SamplingKind } from './sampler.ts';

const planKeys = new WeakMap<Plan, string>();

/** The same for plans whose steps can run together. */
export function planKey(plan: Plan): string {
  const known = planKeys.get(plan) ?? plan.map(({ kind, mlp }) => kind + mlp).join();
  planKeys.set(plan, known);
  return known;
}

/** A token that a step runs. */
export interface Row {
  token: number;
  sequence: number;
  position: number;
}

/** A row whose logits are wanted: the token sampled from them gets a place among the next step's rows. */
export interface SampledRow extends Row {
  /** Undefined: as set before. */
  sampler: SamplerOptions | undefined;
  /** Which of a call's replies it is. */
  reply: number;
  /** Its token was sampled and is not among the counts of penalties yet. */
  uncounted: boolean;
}

/** One forward over rows of any sequences, and the sampling of tokens after some of them. */
export interface Step {
  plan: Plan;
  kind: SamplingKind;
  /** Rows whose logits nobody wants. */
  rows: readonly Row[];
  /** How many of the next step's rows run, from the first on: their tokens were sampled on the GPU. */
  sampled: number;
  /** Rows from the host. */
  last: readonly SampledRow[];
  /** Place of the first of `last` among the next step's rows: behind those that run. */
  at: number;
  /** Tokens that the longest row attends to. */
  context: number;
  /** Some rows are of sequences with an adapter. */
  adapted?: boolean;
}

/** How tokens of one sequence run whole. */
export interface WholeCall {
  /** Its slot of the KV cache (default 0). */
  sequence?: number;
  signal?: AbortSignal | undefined;
  /** The sequence has an adapter. */
  adapted?: boolean;
}

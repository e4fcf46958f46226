// The MLPs of a checkpoint, in CPU memory.
import type { FeedForward, ModelSpec } from '../model/spec.ts';
import type { Mlp, MlpTensors } from './share.ts';

/** What the tensors of a feed-forward are, and their names. */
export function mlpTensors(own: FeedForward): [keyof MlpTensors, string][] {
  const tensors: [keyof MlpTensors, string][] = [];
  for (const which of ['norm', 'normAfter'] as const) {
    const name = own[which];
    if (name !== undefined) tensors.push([which, name]);
  }
  for (const which of ['gate', 'up', 'down'] as const) {
    const { name, bias } = own[which];
    tensors.push([which, `${name}.weight`]);
    if (bias) tensors.push([`${which}Bias`, `${name}.bias`]);
  }
  return tensors;
}

/** @param values of a stored tensor */
export async function readMlp(
  { hiddenSize: d, gainOffset }: ModelSpec,
  own: FeedForward,
  values: (name: string) => Promise<Float32Array>,
): Promise<Mlp> {
  const tensors: Partial<MlpTensors> = {};
  for (const [tensor, name] of mlpTensors(own)) tensors[tensor] = await values(name);
  return { d, width: own.width, gainOffset, ...(tensors as MlpTensors) };
}

import type { Gpu } from '../gpu/device.ts';
import { tunedOf } from '../kernels/fallbacks.ts';
import { kvBytesPerToken, type Plan, parameterCount } from '../model/spec.ts';
import { modesOf } from './modes.ts';
import type { Runner } from './runner.ts';
import type { AdapterInfo, KernelInfo, ModelInfo } from './types.ts';

interface Loaded
  extends Pick<ModelInfo, 'plan' | 'selfTest' | 'dtype' | 'f32Tensors' | 'formats' | 'sampling'> {
  gpu: Gpu;
  runner: Runner;
}

/** What is told of a model. */
export function infoOf(
  { runner, plan, gpu, selfTest, dtype, f32Tensors, formats, sampling }: Loaded,
  { plan: running, dispatchesPerToken }: { plan: Plan; dispatchesPerToken: number },
  adapters: readonly AdapterInfo[],
  from: KernelInfo['from'],
): ModelInfo {
  const { spec, kv } = runner.parts;
  return {
    spec,
    plan,
    modes: modesOf(plan, running),
    parameters: parameterCount(spec),
    dtype,
    f32Tensors,
    formats,
    sampling,
    kv: kv.dtype,
    kvBytesPerToken: kvBytesPerToken(spec, running, kv.dtype === 'f32' ? 4 : 2),
    contextLength: kv.context,
    batch: kv.sequences,
    bytes: runner.ledger.byPurpose(),
    selfTest,
    kernels: { from, tuning: tunedOf(runner.parts.tuning), leftOut: [...runner.leftOut] },
    dispatchesPerToken,
    adapters,
    adapter: gpu.name,
    profile: gpu.profile,
  };
}

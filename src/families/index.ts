import type { ModelSpec } from '../model/spec.ts';
import type { Family } from './decoder.ts';
import { modelTypeOf, refuseType } from './fields.ts';
import { GEMMA3 } from './gemma.ts';
import { GRANITE, GRANITE4 } from './granite.ts';
import { LFM2 } from './lfm2.ts';
import { LLAMA, MISTRAL } from './llama.ts';
import { LLAMA4 } from './llama4.ts';
import { OLMO2 } from './olmo.ts';
import { PHI3 } from './phi.ts';
import { QWEN2, QWEN3 } from './qwen.ts';
import { shishu } from './shishu.ts';
import { SHISHU_LLAMA } from './shishu-llama.ts';
import { SMOLLM3 } from './smollm3.ts';

/** Families of models that may lose attention. */
const PARENTS: readonly Family[] = [
  LLAMA,
  MISTRAL,
  QWEN2,
  QWEN3,
  SMOLLM3,
  GRANITE,
  GRANITE4,
  PHI3,
  GEMMA3,
  OLMO2,
  LLAMA4,
  LFM2,
  SHISHU_LLAMA,
];

/** Every family that there is. */
export const FAMILIES: readonly Family[] = [...PARENTS, shishu(PARENTS)];

/**
 * What a parsed `config.json` says, the likeliest reading first: where it leaves a shape open, the tensors decide.
 * @throws ShishuError `bad-config` for what cannot be, `unsupported` (by name) for what this engine does not run.
 */
export function specsOf(json: unknown): readonly [ModelSpec, ...ModelSpec[]] {
  const [type, object] = modelTypeOf(json);
  const family =
    FAMILIES.find(({ modelTypes }) => modelTypes.includes(type)) ??
    refuseType(
      type,
      FAMILIES.flatMap(({ modelTypes }) => modelTypes),
    );
  return family.read(object);
}

/** The model of a parsed `config.json` that has no tensors to ask. @throws ShishuError `bad-config`, `unsupported` */
export const specOf = (json: unknown): ModelSpec => specsOf(json)[0];

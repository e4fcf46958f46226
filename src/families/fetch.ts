// The family of a config, fetched by its model type: a page does not download the others. Llama is here from the start: most
// models are of it, and what they share is more than what they have of their own.
import { importModule } from '../lazy.ts';
import type { ModelSpec } from '../model/spec.ts';
import type { Family } from './decoder.ts';
import { type Json, modelTypeOf, refuseType } from './fields.ts';
import { LLAMA, MISTRAL } from './llama.ts';

/** Families by their model types. */
export const FETCHED: Readonly<Record<string, (json: Json) => Promise<Family>>> = {
  llama: async () => LLAMA,
  mobilellm: async () => LLAMA,
  mistral: async () => MISTRAL,
  qwen2: async () => (await import('./qwen.ts')).QWEN2,
  qwen3: async () => (await import('./qwen.ts')).QWEN3,
  smollm3: async () => (await import('./smollm3.ts')).SMOLLM3,
  granite: async () => (await import('./granite.ts')).GRANITE,
  granitemoehybrid: async () => (await import('./granite.ts')).GRANITE4,
  phi3: async () => (await import('./phi.ts')).PHI3,
  gemma3_text: async () => (await import('./gemma.ts')).GEMMA3,
  olmo2: async () => (await import('./olmo.ts')).OLMO2,
  llama4_text: async () => (await import('./llama4.ts')).LLAMA4,
  lfm2: async () => (await import('./lfm2.ts')).LFM2,
  'shishu-llama': async () => (await import('./shishu-llama.ts')).SHISHU_LLAMA,
  // With its parent's family.
  async shishu({ parent_model_type: type }) {
    const { shishu } = await import('./shishu.ts');
    const parent = typeof type === 'string' && type !== 'shishu' && Object.hasOwn(FETCHED, type);
    return shishu(parent ? [await FETCHED[type]!({})] : []);
  },
};

/**
 * What a parsed `config.json` says: see `specsOf`, which has all families at hand.
 * @throws ShishuError `bad-config`, `unsupported`; `io` where the family's file cannot be fetched
 */
export async function fetchSpecs(json: unknown): Promise<readonly [ModelSpec, ...ModelSpec[]]> {
  const [type, object] = modelTypeOf(json);
  if (!Object.hasOwn(FETCHED, type)) return refuseType(type, Object.keys(FETCHED));
  return (await importModule(() => FETCHED[type]!(object))).read(object);
}

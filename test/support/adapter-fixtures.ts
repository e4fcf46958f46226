// LoRA adapters of the tiny models of families with what peft makes of them: scripts/make-adapter-fixtures.py.
import { type FamilyFixture, familyFixture } from './family-fixtures.ts';
import { bytesAt, unpacked } from './fixture-bytes.ts';

const json = import.meta.glob<string>('../fixtures/adapters/*/*.json', { query: '?raw', import: 'default' });
const weights = import.meta.glob<string>('../fixtures/adapters/*/*.safetensors', {
  query: '?inline',
  import: 'default',
});

export const ADAPTER_FIXTURES = Object.keys(weights).map((path) => path.split('/').at(-2)!);

export interface AdapterFixture {
  /** The adapter's folder. */
  files: Record<'adapter_config.json', string> & Record<'adapter_model.safetensors', Uint8Array<ArrayBuffer>>;
  base: FamilyFixture;
  prompt: number[];
  greedy: number[];
  /** Of the last tokens of the prompt. */
  logits: Float32Array;
  skipped: { layer: number; logits: Float32Array };
  /** Sums of the rows of the matrices that it changes, once it is merged into them. */
  merged: Map<string, Float32Array>;
}

export async function adapterFixture(name: string): Promise<AdapterFixture> {
  const at = `../fixtures/adapters/${name}`;
  const expected = JSON.parse(await json[`${at}/expected.json`]!());
  return {
    ...expected,
    files: {
      'adapter_config.json': await json[`${at}/adapter_config.json`]!(),
      'adapter_model.safetensors': await bytesAt(await weights[`${at}/adapter_model.safetensors`]!()),
    },
    base: await familyFixture(expected.family),
    logits: unpacked(expected.logits),
    skipped: { ...expected.skipped, logits: unpacked(expected.skipped.logits) },
    merged: new Map(
      Object.entries<string>(expected.merged).map(([tensor, sums]) => [tensor, unpacked(sums)]),
    ),
  };
}

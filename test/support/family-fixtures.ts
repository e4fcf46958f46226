// Tiny models of published families with what transformers makes of them: scripts/make-family-fixtures.py.
import { bytesAt, unpacked } from './fixture-bytes.ts';

const json = import.meta.glob<string>('../fixtures/families/*/*.json', { query: '?raw', import: 'default' });
const weights = import.meta.glob<string>('../fixtures/families/*/*.safetensors', {
  query: '?inline',
  import: 'default',
});

const nameOf = (path: string): string => path.split('/').at(-2)!;

export const FAMILY_FIXTURES = Object.keys(weights).map(nameOf);

export interface FamilyFixture {
  /** The model's folder, without a tokenizer. */
  files: Record<string, string | Uint8Array<ArrayBuffer>>;
  /** The context length with which it is to be loaded. */
  context: number;
  prompt: number[];
  /** The likeliest continuation of the prompt. */
  greedy: number[];
  /** Of the prompt: `(tokens, vocab)`. */
  logits: Float32Array;
  /** Of the last token alone, where the attention of a layer is left out. */
  skipped: { layer: number; logits: Float32Array };
}

export async function familyFixture(name: string): Promise<FamilyFixture> {
  const at = `../fixtures/families/${name}`;
  const expected = JSON.parse(await json[`${at}/expected.json`]!());
  return {
    ...expected,
    files: {
      'config.json': await json[`${at}/config.json`]!(),
      'model.safetensors': await bytesAt(await weights[`${at}/model.safetensors`]!()),
    },
    logits: unpacked(expected.logits),
    skipped: { ...expected.skipped, logits: unpacked(expected.skipped.logits) },
  };
}

/** Largest difference, relative to the largest of the expected values. */
export function difference(found: Float32Array, expected: Float32Array): number {
  if (found.length !== expected.length) return Number.POSITIVE_INFINITY;
  const spread = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return found.reduce((most, value, i) => {
    const apart = Math.abs(value - expected[i]!) / spread;
    return Number.isNaN(apart) ? Number.POSITIVE_INFINITY : Math.max(most, apart);
  }, 0);
}

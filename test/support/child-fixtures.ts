// Tiny ShishuLMs of several parents with what transformers makes of them: scripts/make-child-fixtures.py.
import { bytesAt, unpacked } from './fixture-bytes.ts';

const json = import.meta.glob<string>('../fixtures/children/*/*.json', { query: '?raw', import: 'default' });
const weights = import.meta.glob<string>('../fixtures/children/*/*.safetensors', {
  query: '?inline',
  import: 'default',
});

export const CHILD_FIXTURES = Object.keys(weights).map((path) => path.split('/').at(-2)!);

export interface ChildFixture {
  /** The model's folder, without a tokenizer. */
  files: { 'config.json': string; 'model.safetensors': Uint8Array<ArrayBuffer> };
  context: number;
  prompt: number[];
  /** The likeliest continuation of the prompt. */
  greedy: number[];
  /** Of the prompt: `(tokens, vocab)`. */
  logits: Float32Array;
}

export async function childFixture(name: string): Promise<ChildFixture> {
  const at = `../fixtures/children/${name}`;
  const expected = JSON.parse(await json[`${at}/expected.json`]!());
  return {
    ...expected,
    files: {
      'config.json': await json[`${at}/config.json`]!(),
      'model.safetensors': await bytesAt(await weights[`${at}/model.safetensors`]!()),
    },
    logits: unpacked(expected.logits),
  };
}

// Tiny embedding models with the vectors of transformers and sentence-transformers: scripts/make-embedding-fixtures.py.
import type { EmbedOptions } from '../../src/engine/types.ts';
import { bytesAt, unpacked } from './fixture-bytes.ts';

const texts = import.meta.glob<string>('../fixtures/embeddings/**/*.json', {
  query: '?raw',
  import: 'default',
});
const weights = import.meta.glob<string>('../fixtures/embeddings/*/*.safetensors', {
  query: '?inline',
  import: 'default',
});

export interface EmbeddingFixture {
  files: Record<string, string | Uint8Array<ArrayBuffer>>;
  context: number;
  texts: string[];
  ids: number[][];
  cases: { options: EmbedOptions; vectors: Float32Array[] }[];
}

function vectorsOf(base64: string, count: number): Float32Array[] {
  const values = unpacked(base64);
  const size = values.length / count;
  return Array.from({ length: count }, (_, i) => values.slice(i * size, (i + 1) * size));
}

export async function embeddingFixture(name: 'qwen3' | 'llama'): Promise<EmbeddingFixture> {
  const at = `../fixtures/embeddings/${name}/`;
  const files: EmbeddingFixture['files'] = {};
  for (const [path, read] of Object.entries(texts))
    if (path.startsWith(at)) files[path.slice(at.length)] = await read();
  files['model.safetensors'] = await bytesAt(await weights[`${at}model.safetensors`]!());
  const expected = JSON.parse(files['expected.json'] as string);
  const cases = expected.cases.map(({ options, vectors }: { options: EmbedOptions; vectors: string }) => ({
    options,
    vectors: vectorsOf(vectors, expected.texts.length),
  }));
  return { ...expected, files, cases };
}

// Tiny models in GGUF, laid out as llama.cpp reads them, with the logits of transformers: scripts/make-gguf-families.py.
import { bytesAt, unpacked } from './fixture-bytes.ts';

const json = import.meta.glob<string>('../fixtures/gguf/*.json', { query: '?raw', import: 'default' });
const files = import.meta.glob<string>('../fixtures/gguf/*.gguf', { query: '?inline', import: 'default' });

const at = (name: string, end: string): string => `../fixtures/gguf/${name}.${end}`;

export const GGUF_FAMILIES = Object.keys(files).map((path) => path.split('/').at(-1)!.replace('.gguf', ''));

export async function ggufFamily(name: string) {
  const { context, prompt, logits } = JSON.parse(await json[at(name, 'json')]!());
  return {
    file: new File([await bytesAt(await files[at(name, 'gguf')]!())], `${name}.gguf`),
    context: context as number,
    prompt: prompt as number[],
    /** `(tokens, vocab)` */
    logits: unpacked(logits),
  };
}

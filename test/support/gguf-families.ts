// Tiny models in GGUF, laid out as llama.cpp reads them, with the logits of transformers: scripts/make-gguf-families.py.

const json = import.meta.glob<string>('../fixtures/gguf/*.json', { query: '?raw', import: 'default' });
const files = import.meta.glob<string>('../fixtures/gguf/*.gguf', { query: '?inline', import: 'default' });

const at = (name: string, end: string): string => `../fixtures/gguf/${name}.${end}`;

export const GGUF_FAMILIES = Object.keys(files).map((path) => path.split('/').at(-1)!.replace('.gguf', ''));

export async function ggufFamily(name: string) {
  const stored = await fetch(await files[at(name, 'gguf')]!());
  const { context, prompt, logits } = JSON.parse(await json[at(name, 'json')]!());
  const bytes = Uint8Array.from(atob(logits), (character) => character.charCodeAt(0));
  return {
    file: new File([await stored.arrayBuffer()], `${name}.gguf`),
    context: context as number,
    prompt: prompt as number[],
    /** `(tokens, vocab)` */
    logits: new Float32Array(bytes.buffer),
  };
}

/** Files of a tokenizer of single characters, for models of fewer than 256 tokens: `size` ids, 0 is a control token. */
export function charTokenizerFiles(size = 64): Record<string, Uint8Array<ArrayBuffer>> {
  const characters = Array.from({ length: size - 1 }, (_, i) => String.fromCharCode(33 + i));
  const vocab = Object.fromEntries(['</s>', ...characters].map((token, id) => [token, id]));
  const tokenizer = {
    version: '1.0',
    added_tokens: [
      {
        id: 0,
        content: '</s>',
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
      },
    ],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: { type: 'Fuse' },
    model: { type: 'BPE', vocab, merges: [], unk_token: null, fuse_unk: false, byte_fallback: false },
  };
  const bytes = (json: object): Uint8Array<ArrayBuffer> => new TextEncoder().encode(JSON.stringify(json));
  return { 'tokenizer.json': bytes(tokenizer), 'tokenizer_config.json': bytes({}) };
}

const WORDS = ['▁', '▁the', '▁a', '▁▁', 'a', 'b', 'e', 'h', 't', 'th', 'he', 'the', '.', 'é', '日'];

/**
 * Files of a tokenizer in the manner of Llama 2: spaces as ▁, one put before the text and stripped when decoded,
 * bytes as tokens where there is no other, `<s>` before every text, and a template that writes `<s>` itself.
 */
export function sentencepieceFiles(): Record<string, string> {
  const special = ['<unk>', '<s>', '</s>'];
  const bytes = Array.from({ length: 256 }, (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`);
  const tokens = [...special, ...bytes, ...WORDS];
  const begin = { SpecialToken: { id: '<s>', type_id: 0 } };
  const tokenizer = {
    version: '1.0',
    added_tokens: special.map((content, id) => ({ id, content, normalized: false, special: true })),
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Prepend', prepend: '▁' },
        { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
      ],
    },
    pre_tokenizer: null,
    post_processor: {
      type: 'TemplateProcessing',
      single: [begin, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [begin, { Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
      special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
    },
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        { type: 'Strip', content: ' ', start: 1, stop: 0 },
      ],
    },
    model: {
      type: 'BPE',
      unk_token: '<unk>',
      fuse_unk: true,
      byte_fallback: true,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: ['▁ ▁', 't h', 'h e', 'th e', '▁ the', '▁ a'],
    },
  };
  const template =
    "{{ bos_token }}{% for m in messages %}{% if m['role'] not in ['user', 'assistant'] %}" +
    "{{ raise_exception('no role ' + m['role']) }}{% endif %}[{{ m['role'] }}] {{ m['content'] }}{% endfor %}";
  const spec = { bos_token: { content: '<s>' }, eos_token: '</s>', chat_template: template };
  return { 'tokenizer.json': JSON.stringify(tokenizer), 'tokenizer_config.json': JSON.stringify(spec) };
}

// GGUF files of a model with every type of tensors, of which only the headers are written: all weights are zero.

import { type GgufType, TYPES } from '../../src/formats/gguf/types.ts';
import type { RawSource } from '../../src/formats/raw-source.ts';
import { type FileTensor, ggufFile, type Typed } from './gguf-file.ts';

/** The data of each tensor begins at such a byte, and the first one's past all that is read of a header at first. */
export const ALIGNMENT = 1 << 20;
const HIDDEN = 256;
const BYTES = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`);
const TOKENS = ['<unk>', '<s>', '</s>', ...BYTES];
const u32 = (value: number): Typed => ({ kind: 'u32', value });

const METADATA: Record<string, Typed> = {
  'general.architecture': { kind: 'string', value: 'llama' },
  'general.alignment': u32(ALIGNMENT),
  'llama.block_count': u32(1),
  'llama.context_length': u32(64),
  'llama.embedding_length': u32(HIDDEN),
  'llama.feed_forward_length': u32(HIDDEN),
  'llama.attention.head_count': u32(4),
  'llama.attention.head_count_kv': u32(2),
  'llama.attention.layer_norm_rms_epsilon': { kind: 'f32', value: 1e-5 },
  'tokenizer.ggml.model': { kind: 'string', value: 'llama' },
  'tokenizer.ggml.tokens': { kind: 'array', of: 'string', value: TOKENS },
  'tokenizer.ggml.scores': { kind: 'array', of: 'f32', value: TOKENS.map(() => 0) },
  'tokenizer.ggml.token_type': {
    kind: 'array',
    of: 'i32',
    value: TOKENS.map((_, i) => (i === 0 ? 2 : i < 3 ? 3 : 6)),
  },
  'tokenizer.ggml.bos_token_id': u32(1),
  'tokenizer.ggml.eos_token_id': u32(2),
  'tokenizer.ggml.unknown_token_id': u32(0),
};

/** A file of zeros behind its header. */
interface File {
  header: Uint8Array;
  size: number;
}

function fileOf(
  metadata: Record<string, Typed>,
  tensors: Omit<FileTensor, 'data' | 'offset'>[],
  lengths: number[],
): File {
  let at = 0;
  const placed = tensors.map((tensor, i) => {
    const offset = at;
    at += Math.ceil(lengths[i]! / ALIGNMENT) * ALIGNMENT;
    return { ...tensor, offset, data: new Uint8Array(0) };
  });
  // An empty tensor would pad the file to where the data begins.
  const header = ggufFile(metadata, placed, { alignment: 1 });
  return { header, size: Math.ceil(header.length / ALIGNMENT) * ALIGNMENT + at };
}

/** A model whose matrices are of one type, in one file or in several. */
export function zeroGguf(type: GgufType, parts = 1): Record<string, File> {
  const matrix = (name: string, rows: number): [string, GgufType, number[]] => [name, type, [rows, HIDDEN]];
  const tensors: [string, GgufType, number[]][] = [
    matrix('token_embd.weight', TOKENS.length),
    ['output_norm.weight', 'F32', [HIDDEN]],
    ...['attn_q', 'attn_output', 'ffn_gate', 'ffn_up', 'ffn_down'].map((name) =>
      matrix(`blk.0.${name}.weight`, HIDDEN),
    ),
    ...['attn_k', 'attn_v'].map((name) => matrix(`blk.0.${name}.weight`, HIDDEN / 2)),
    ...['attn_norm', 'ffn_norm'].map((name): [string, GgufType, number[]] => [
      `blk.0.${name}.weight`,
      'F32',
      [HIDDEN],
    ]),
  ];
  const files: Record<string, File> = {};
  const each = Math.ceil(tensors.length / parts);
  for (let part = 0; part < parts; part++) {
    const own = tensors.slice(part * each, (part + 1) * each);
    const split = {
      'split.no': u32(part),
      'split.count': u32(parts),
      'split.tensors.count': u32(tensors.length),
    };
    const metadata = {
      ...(part === 0 ? METADATA : { 'general.alignment': u32(ALIGNMENT) }),
      ...(parts > 1 && split),
    };
    const lengths = own.map(([, type, shape]) => {
      const { values, bytes } = TYPES[type];
      return (shape.reduce((a, b) => a * b) / values) * bytes;
    });
    const number = (n: number): string => String(n).padStart(5, '0');
    const name = parts > 1 ? `m-${number(part + 1)}-of-${number(parts)}.gguf` : 'm.gguf';
    files[name] = fileOf(
      metadata,
      own.map(([name, type, shape]) => ({ name, type: TYPES[type].id, shape })),
      lengths,
    );
  }
  return files;
}

/** Storage of such files. */
export function zeroSource(files: Readonly<Record<string, File>>): RawSource {
  return {
    name: 'zeros',
    list: () => Object.keys(files),
    size: (name) => files[name]?.size ?? null,
    read(name, start = 0, end = files[name]?.size) {
      const file = files[name];
      if (!file || end === undefined) return undefined;
      const bytes = new Uint8Array(Math.min(end, file.size) - start);
      bytes.set(file.header.subarray(start, end));
      return bytes;
    },
  };
}

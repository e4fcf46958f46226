import { ShishuError } from '../../errors.ts';
import { bytesToF32 } from '../float.ts';
import type { StreamingSource } from '../raw-source.ts';
import type { Source } from '../source.ts';
import { configOf, ROPE_TENSORS } from './config.ts';
import { type GgufTensor, readGguf } from './header.ts';
import { isQueryOrKey } from './names.ts';
import { type TokenizerJson, tokenizerOf } from './tokenizer.ts';
import { GgufWeights } from './weights.ts';

type Bytes = Uint8Array<ArrayBuffer>;

/** What is known of a file once its header is read. */
interface Opened {
  weights: GgufWeights;
  config: unknown;
  pooling: string | undefined;
  texts: () => TokenizerJson;
}

const json = (value: unknown): Bytes => new TextEncoder().encode(JSON.stringify(value));

/** Bytes of factors that no model has as many of. */
const MOST_FACTORS = 4096;

/** Convolutions have a dimension more, of one input channel. */
const asFamilies = (name: string, tensor: GgufTensor): GgufTensor =>
  name.endsWith('shortconv.conv.weight') && tensor.shape.length === 2
    ? { ...tensor, shape: [tensor.shape[0]!, 1, tensor.shape[1]!] }
    : tensor;

/** What sentence-transformers would say of a file that says how its states are pooled; llama.cpp makes them of length 1. */
const POOLED = [
  { type: 'Pooling', path: '1_Pooling' },
  { type: 'Normalize', path: '' },
];

async function open(source: Source, file: string, signal?: AbortSignal): Promise<Opened> {
  const header = await readGguf(source, file, signal);
  const tensors = new Map(header.tensors);
  const factors = new Map<string, Float32Array>();
  for (const name of ROPE_TENSORS) {
    const found = tensors.get(name);
    if (!found) continue;
    tensors.delete(name);
    // One for each pair of a head's dimensions.
    if (found.type !== 'F32' || found.end - found.start > MOST_FACTORS)
      throw new ShishuError(
        'bad-checkpoint',
        `${file}: tensor "${name}" is ${found.type} [${found.shape}].`,
        {
          details: { file, tensor: name, found: found.shape },
          mend: 'Factors of rotary embeddings are F32, one for each pair of dimensions.',
        },
      );
    factors.set(name, bytesToF32(await source.read(found.file, found.start, found.end, signal), 'F32'));
  }
  const { headDim, interleaved, names, ...read } = configOf(file, header, factors);
  for (const [name, tensor] of tensors) tensors.set(name, asFamilies(name, tensor));
  const headRows = (name: string): number | undefined =>
    interleaved && isQueryOrKey(name) ? headDim : undefined;
  const weights = new GgufWeights(source, tensors, headRows, names);
  return { weights, ...read, texts: () => tokenizerOf(file, header.metadata) };
}

/**
 * A GGUF file as a model folder: `config.json`, the tokenizer's files and weights, all of the file. Nothing is read before it is
 * asked for.
 */
export function ggufFolder(source: Source, file: string): StreamingSource {
  let opened: Promise<Opened> | undefined;
  const opening = (signal?: AbortSignal): Promise<Opened> => {
    opened ??= open(source, file, signal).catch((error) => {
      opened = undefined;
      throw error;
    });
    return opened;
  };
  const made = async (name: string, signal?: AbortSignal): Promise<Bytes | undefined> => {
    const { config, pooling, texts } = await opening(signal);
    if (name === 'config.json') return json(config);
    if (name === 'modules.json' && pooling) return json(POOLED);
    if (name === `${POOLED[0]!.path}/config.json`) return json({ pooling_mode: pooling });
    if (name === 'tokenizer.json') return json(texts().tokenizer);
    if (name === 'tokenizer_config.json') return json(texts().tokenizerConfig);
    if (name === 'generation_config.json') return json(texts().generationConfig);
    return undefined;
  };
  return {
    name: `${file} of ${source.name}`,
    async tensors(signal, asBlocks) {
      const { weights } = await opening(signal);
      return asBlocks ? weights.blocks : weights.entries;
    },
    async read(name, start, end, signal) {
      const { weights } = await opening(signal);
      if (weights.has(name)) return weights.read(name, start, end, signal);
      return (await made(name, signal))?.slice(start, end);
    },
    async size(name, signal) {
      const { weights } = await opening(signal);
      return weights.has(name) ? weights.size(name) : ((await made(name, signal))?.length ?? null);
    },
    async readHead(name, _most, signal) {
      const bytes = await made(name, signal);
      return bytes && { bytes, size: bytes.length };
    },
    async readSpans(name, cuts, use, signal) {
      const { weights } = await opening(signal);
      if (!weights.has(name)) return false;
      await weights.readSpans(name, cuts, use, signal);
      return true;
    },
  };
}

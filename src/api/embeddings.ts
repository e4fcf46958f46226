import type { EmbedInput, EmbedOptions, Embeddings as Vectors } from '../engine/types.ts';
import {
  type CallOptions,
  checkText,
  chooseByModel,
  fieldError,
  refuse,
  refuseUnknown,
} from './request-fields.ts';

/** A request in OpenAI's names. `null` and left out are the same. Fields that are not here are refused. */
export interface EmbeddingRequest {
  /** A text, its token ids, or a list of either. */
  input: string | readonly string[] | readonly number[] | readonly (readonly number[])[];
  /** The name of an adapter that is loaded chooses it; others are only repeated in the answer. */
  model?: string | null;
  /** `base64` is of little-endian f32 (default `float`). */
  encoding_format?: 'float' | 'base64' | null;
  dimensions?: number | null;
  /** Taken and not used. */
  user?: string | null;
  /** Not OpenAI's: as in `EmbedOptions`. */
  instruction?: string | null;
  pooling?: EmbedOptions['pooling'] | null;
  normalize?: boolean | null;
  truncate?: boolean | null;
  modes?: EmbedOptions['modes'] | null;
  adapter?: string | null;
}

export interface EmbeddingItem<T = number[]> {
  object: 'embedding';
  index: number;
  embedding: T;
}

export interface EmbeddingResponse<T = number[]> {
  object: 'list';
  data: EmbeddingItem<T>[];
  model: string;
  usage: { prompt_tokens: number; total_tokens: number };
}

export interface EmbeddingsClient {
  create(
    request: EmbeddingRequest & { encoding_format: 'base64' },
    call?: CallOptions,
  ): Promise<EmbeddingResponse<string>>;
  create(
    request: EmbeddingRequest & { encoding_format?: 'float' | null },
    call?: CallOptions,
  ): Promise<EmbeddingResponse>;
  create(request: EmbeddingRequest, call?: CallOptions): Promise<EmbeddingResponse<number[] | string>>;
}

/** What embeddings need of a model. */
export interface EmbeddingModel {
  embed(texts: EmbedInput, options?: EmbedOptions): Promise<Vectors>;
  readonly info?: { readonly adapters?: readonly { readonly name: string }[] };
}

/** Options of `embed` that pass through under their names; it judges their values. */
const PASSED = ['dimensions', 'instruction', 'pooling', 'normalize', 'truncate', 'modes', 'adapter'];
const OWN = ['input', 'model', 'encoding_format', 'user'];
const FIELDS = new Map([['texts', 'input'], ...PASSED.map((name): [string, string] => [name, name])]);

/**
 * OpenAI's embeddings over a model. A field that is not supported is an error that names it.
 * @throws ShishuError from `create`: `bad-argument`, and those of `Model.embed`
 */
export function embeddings(
  model: EmbeddingModel,
  { name = 'shishulm' }: { name?: string } = {},
): EmbeddingsClient {
  const create = async (
    request: EmbeddingRequest,
    { signal }: CallOptions = {},
  ): Promise<EmbeddingResponse<number[] | string>> => {
    const { options, format } = checked(request);
    chooseByModel(options, request.model, model.info);
    const own = { ...options, ...(signal && { signal }) };
    const found = await model.embed(request.input, own).catch((error) => {
      throw fieldError(FIELDS, error);
    });
    const tokens = found.tokens.reduce((sum, count) => sum + count, 0);
    return {
      object: 'list',
      data: found.embeddings.map((vector, index) => ({
        object: 'embedding',
        index,
        embedding: format === 'base64' ? base64(vector) : Array.from(vector),
      })),
      model: request.model ?? name,
      usage: { prompt_tokens: tokens, total_tokens: tokens },
    };
  };
  return { create } as EmbeddingsClient;
}

function checked(request: EmbeddingRequest): { options: EmbedOptions; format: 'float' | 'base64' } {
  if (typeof request !== 'object' || request === null) refuse('request', request, 'an object');
  const options: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(request)) {
    if (value === undefined || value === null) continue;
    if (PASSED.includes(field)) options[field] = value;
    else if (!OWN.includes(field)) refuseUnknown(field, [...OWN, ...PASSED]);
  }
  const { input, encoding_format: format, model, user } = request;
  if (input === undefined || input === null || input.length === 0)
    refuse('input', input, 'a text, token ids or a list of them, not empty');
  if (format && format !== 'float' && format !== 'base64')
    refuse('encoding_format', format, 'float or base64');
  for (const [field, value] of Object.entries({ model, user })) checkText(field, value);
  return { options, format: format ?? 'float' };
}

function base64(vector: Float32Array): string {
  const bytes = new Uint8Array(4 * vector.length);
  const view = new DataView(bytes.buffer);
  for (const [i, value] of vector.entries()) view.setFloat32(4 * i, value, true);
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
}

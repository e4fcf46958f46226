import { encodeHeader } from '../formats/safetensors.ts';
import type { Source } from '../formats/source.ts';
import type { ChildTensor } from './child.ts';

/** A folder that is being written: it is in its place once it is committed. */
export interface Staged {
  /** What has been written so far. */
  source: Source;
  /** Writes a file whole, or over what it was. */
  write(file: string, data: Uint8Array | string | AsyncIterable<Uint8Array>): Promise<void>;
  /** Puts the folder in its place. */
  commit(): Promise<void>;
  /** Removes what was written; after `commit` there is nothing to remove. */
  discard(): Promise<void>;
}

/** Begins a folder. @throws ShishuError `bad-argument`, `io` */
export type Stage = () => Promise<Staged>;

/** A safetensors file tensor by tensor, so that the model is never whole in memory. */
export async function* tensorFile(tensors: readonly ChildTensor[]): AsyncGenerator<Uint8Array> {
  const { bytes, order } = encodeHeader(tensors, { format: 'pt' });
  yield bytes;
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  for (const name of order) yield await byName.get(name)!.read();
}

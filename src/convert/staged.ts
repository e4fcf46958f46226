import { encodeHeader } from '../formats/safetensors.ts';
import type { Source } from '../formats/source.ts';
import type { ChildTensor } from './child.ts';

/** How far a conversion has come. */
export const PROGRESS_FILE = 'conversion.json';
/** What the parent sampled. */
export const SAMPLES_FILE = 'samples.json';
/** Weights, moments and loss curve of the healing under way. */
export const HEALING_FILE = 'healing.safetensors';
/** Files that a folder has only while it is written. */
export const WORK_FILES: readonly string[] = [PROGRESS_FILE, SAMPLES_FILE, HEALING_FILE];

/** A folder that is being written: it is in its place once it is committed. */
export interface Staged {
  /** What has been written so far. */
  source: Source;
  /** Where another try of the same conversion goes on from what is here: for people. Without it, nothing is gone on with. */
  place?: string;
  /** Writes a file whole, or over what it was; where that fails, what it was stays. */
  write(file: string, data: Uint8Array | string | AsyncIterable<Uint8Array>): Promise<void>;
  /** Puts the folder in its place, without `WORK_FILES`. */
  commit(): Promise<void>;
  /** Removes what was written; after `commit` there is nothing to remove. */
  discard(): Promise<void>;
}

/** Begins a folder. @throws ShishuError `bad-argument`, `io` */
export type Stage = () => Promise<Staged>;

/** A safetensors file tensor by tensor, so that the model is never whole in memory. */
export async function* tensorFile(
  tensors: readonly ChildTensor[],
  metadata: Record<string, string> = { format: 'pt' },
): AsyncGenerator<Uint8Array> {
  const { bytes, order } = encodeHeader(tensors, metadata);
  yield bytes;
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  for (const name of order) yield await byName.get(name)!.read();
}

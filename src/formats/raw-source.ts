/** What a kind of storage must offer to become a Source; nothing it returns is trusted. */
import type { TensorEntry } from './tensor-entry.ts';
export interface RawSource {
  name?: string;
  /** Bytes `[start, end)`, or undefined when the file is not there. Called for several ranges at once. */
  read(
    file: string,
    start?: number,
    end?: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array | undefined> | Uint8Array | undefined;
  /** Bytes in the file; undefined: not known; null: the file is not there. */
  size?(file: string, signal?: AbortSignal): Promise<number | undefined | null> | number | undefined | null;
  /**
   * The names of the folder's files, where it can tell.
   * @param deep with the paths of those in folders inside it
   */
  list?(deep?: boolean): Promise<readonly string[]> | readonly string[];
  /**
   * Where the weights lie, of storage that has them in no safetensors files; undefined where it has.
   * @param asBlocks where quantised blocks lie as they are stored, not where the values that they make do
   * @param lacking safetensors files were looked for, and are not there
   */
  tensors?(
    signal?: AbortSignal,
    asBlocks?: boolean,
    lacking?: boolean,
  ): Promise<Map<string, TensorEntry> | undefined>;
}

/** The beginning of a file. */
export interface Head {
  bytes: Uint8Array<ArrayBuffer>;
  /** Of the whole file; undefined: not known. */
  size: number | undefined;
}

/** Storage to which each request is dear. */
export interface StreamingSource extends RawSource {
  /** The first bytes of a file, up to `most`, and how many it has; undefined when it is not there. */
  readHead(file: string, most: number, signal?: AbortSignal): Promise<Head | undefined>;
  /**
   * Gives over one connection bytes `[cuts[i], cuts[i + 1])` of a file in turn; where the file ends, one that is short, and no more.
   * @param use has the bytes until it returns; throws nothing but a ShishuError
   * @returns whether the file is there
   */
  readSpans(
    file: string,
    cuts: readonly number[],
    use: (bytes: Uint8Array<ArrayBuffer>) => void,
    signal?: AbortSignal,
  ): Promise<boolean>;
}

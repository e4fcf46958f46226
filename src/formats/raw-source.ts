/** What a kind of storage must offer to become a Source; nothing it returns is trusted. */
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
}

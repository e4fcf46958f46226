import { ShishuError } from './errors.ts';

/**
 * Fetches a part of the package when it is first used: what a page does not use, it does not download.
 * @throws ShishuError `io` when the file is not there
 */
export const part = <T>(load: () => Promise<T>): Promise<T> =>
  load().catch((cause: unknown) => {
    throw new ShishuError('io', `A part of shishulm could not be fetched: ${cause}.`, {
      mend: "Check that the server has all files of the package's folder, and load the page again.",
      cause,
    });
  });

/** What a part makes when it is first used, kept from then on; a fetch that failed is tried again at the next call. */
export function keptPart<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= part(make).catch((error) => {
      made = undefined;
      throw error;
    });
    return made;
  };
}

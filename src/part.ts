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

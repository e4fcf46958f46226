import { ShishuError } from './errors.ts';

/**
 * Imports a module of the package when it is first used: a page does not download the features that it does not use.
 * @throws ShishuError `io` when the file is not there
 */
export const importModule = <T>(load: () => Promise<T>): Promise<T> =>
  load().catch((cause: unknown) => {
    throw new ShishuError('io', `A part of shishulm could not be fetched: ${cause}.`, {
      mend: "Check that the server has all files of the package's folder, and load the page again.",
      cause,
    });
  });

/** A value that is created at the first call, with the modules that it takes, and kept; after a failure the next call tries again. */
export function lazy<T>(create: () => Promise<T>): () => Promise<T> {
  let value: Promise<T> | undefined;
  return () => {
    value ??= importModule(create).catch((error) => {
      value = undefined;
      throw error;
    });
    return value;
  };
}

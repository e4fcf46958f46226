import type { Source } from '../formats/source.ts';
import { type ConvertOptions, convert } from './convert.ts';
import { refuseExisting, stageFolder } from './folder.ts';
import { type MergeOptions, type OpenOptions, withOnGpu } from './on-gpu.ts';
import type { ConvertReport } from './report.ts';
import { type TextOptions, textWindows } from './text.ts';

export interface ConvertFolderOptions extends ConvertOptions, MergeOptions, Omit<TextOptions, 'healTokens'> {
  /** Replace a folder that exists. */
  force?: boolean;
}

/**
 * Makes a ShishuLM of a parent and writes it to a folder (Node only). What is under way is in `OUT.work`, from where the same call
 * goes on when it was stopped.
 * @throws ShishuError as `convert`; `bad-argument` also when the folder is there and may not be replaced
 */
export async function convertFolder(
  source: Source,
  out: string,
  {
    force = false,
    adapter,
    text,
    corpus,
    tokens,
    window,
    seed,
    onProgress,
    ...options
  }: ConvertFolderOptions,
  gpuOptions: OpenOptions = {},
): Promise<ConvertReport> {
  const { log = () => {}, signal, heal } = options;
  await refuseExisting(out, force);
  return withOnGpu(source, { ...gpuOptions, adapter }, (parent) => {
    const asked = { text, corpus, tokens, window, seed, signal, onProgress, healTokens: heal?.tokens };
    const windows = () => textWindows(parent, asked, log);
    return convert(parent, windows, () => stageFolder(out, { force }), options, gpuOptions);
  });
}

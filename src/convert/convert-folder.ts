import type { Source } from '../formats/source.ts';
import { convert } from './convert.ts';
import type { ConvertOptions } from './convert-target.ts';
import { refuseExisting, stageFolder } from './folder.ts';
import { type MergeOptions, type OnGpu, type OpenOptions, withOnGpu } from './on-gpu.ts';
import type { Progress } from './progress.ts';
import type { ConvertReport } from './report.ts';
import { sampleStore, type TextOptions, textWindows } from './text.ts';
import type { Windows } from './windows.ts';

export interface ConvertFolderOptions
  extends ConvertOptions,
    MergeOptions,
    Omit<TextOptions, 'healTokens' | 'kept'> {
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
  { force = false, adapter, ...options }: ConvertFolderOptions,
  gpuOptions: OpenOptions = {},
): Promise<ConvertReport> {
  const { text, parts, other, corpus, tokens, window, seed, onProgress, ...asked } = options;
  const { log = () => {}, signal, heal } = asked;
  await refuseExisting(out, force);
  const windows =
    (parent: OnGpu) =>
    (progress: Progress): Promise<Windows> => {
      const kept = sampleStore(progress.staged, () => {
        progress.keeps = true;
      });
      const about = { text, parts, other, corpus, tokens, window, seed, onProgress };
      return textWindows(parent, { ...about, kept, signal, healTokens: heal?.tokens }, log);
    };
  return withOnGpu(source, { ...gpuOptions, adapter }, (parent) =>
    convert(parent, windows(parent), () => stageFolder(out, { force }), asked, gpuOptions),
  );
}

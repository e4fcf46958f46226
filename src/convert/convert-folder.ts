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
 * Makes a ShishuLM of a parent and writes it to a folder (Node only).
 * @throws ShishuError as `convert`; `bad-argument` also when the folder is there and may not be replaced
 */
export async function convertFolder(
  source: Source,
  out: string,
  options: ConvertFolderOptions,
  gpuOptions: OpenOptions = {},
): Promise<ConvertReport> {
  const { force = false, log = () => {} } = options;
  await refuseExisting(out, force);
  return withOnGpu(source, { ...gpuOptions, adapter: options.adapter }, (parent) => {
    const text = () => textWindows(parent, { ...options, healTokens: options.heal?.tokens }, log);
    return convert(parent, text, () => stageFolder(out, { force }), options, gpuOptions);
  });
}

import type { Source } from '../formats/source.ts';
import { type ConvertOptions, type ConvertReport, convert } from './convert.ts';
import { refuseExisting, stageFolder } from './folder.ts';
import { type OpenOptions, openOnGpu } from './on-gpu.ts';
import { type TextOptions, textWindows } from './text.ts';

export interface ConvertFolderOptions extends ConvertOptions, TextOptions {
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
  const parent = await openOnGpu(source, gpuOptions);
  try {
    const text = () => textWindows(parent, options, log);
    return await convert(parent, text, () => stageFolder(out, { force }), options, gpuOptions);
  } finally {
    parent.close();
  }
}

import { openFolder } from '../formats/node-folder.ts';
import type { Source } from '../formats/source.ts';
import { refuseExisting, stageFolder } from './folder.ts';
import { healMore } from './heal-more.ts';
import type { HealOptions } from './heal-plan.ts';
import type { Log } from './healing-run.ts';
import { type MergeOptions, type OnGpu, type OpenOptions, withOnGpu } from './on-gpu.ts';
import type { Progress } from './progress.ts';
import type { HealingReport } from './report.ts';
import { sampleStore, type TextOptions, textWindows } from './text.ts';
import type { Windows } from './windows.ts';

export interface HealFolderOptions extends MergeOptions, Omit<TextOptions, 'healTokens' | 'kept'> {
  heal: HealOptions;
  /** As of a conversion. */
  questions?: number | undefined;
  /** Replace a folder that exists. */
  force?: boolean;
  log?: Log;
}

/**
 * Goes on healing a child with text that it was not healed with yet (Node only). What is under way is in `OUT.work`, from where
 * the same call goes on; the folder is replaced once all is done.
 * @returns what healing did, as it is in the child's report
 * @throws ShishuError as `convert`; `bad-argument` for a parent that is not the child's
 */
export async function healFolder(
  folder: string,
  parentSource: Source,
  out: string,
  { force = false, adapter, heal, questions, log = () => {}, signal, ...text }: HealFolderOptions,
  gpuOptions: OpenOptions = {},
): Promise<HealingReport> {
  await refuseExisting(out, force);
  const windows =
    (parent: OnGpu) =>
    (progress: Progress, healTokens: number): Promise<Windows> => {
      const kept = sampleStore(progress.staged, () => {
        progress.keeps = true;
      });
      return textWindows(parent, { ...text, signal, healTokens, kept }, log);
    };
  const child = await openFolder(folder);
  return withOnGpu(parentSource, { ...gpuOptions, adapter, signal }, (parent) =>
    healMore(
      parent,
      child,
      windows(parent),
      () => stageFolder(out, { force }),
      { heal, questions, log, signal },
      gpuOptions,
    ),
  );
}

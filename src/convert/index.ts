// What a page can use of the conversion: nothing here needs a file system.
export {
  type Analysis,
  analysisTable,
  analyze,
  type BlockReport,
  type ContextBucket,
} from './analyze.ts';
export { type ConvertOptions, type ConvertReport, convert, reportText } from './convert.ts';
export { stageHandle } from './handle-folder.ts';
export { type OnGpu, type OpenOptions, openOnGpu, refuseChild } from './on-gpu.ts';
export type { Stage, Staged } from './staged.ts';
export { type TextOptions, textWindows } from './text.ts';
export type { Windows } from './windows.ts';

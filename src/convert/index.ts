// What a page can use of the conversion: nothing here needs a file system.
export type { Chat, ChatCorpus, Split } from '../train/chat-corpus.ts';
export type { Turn } from '../train/chat-format.ts';
export type { CpuWeights } from '../train/weights.ts';
export { type AnalysedOrder, type AnalysisFile, readAnalysis } from './analysis-file.ts';
export {
  type Analysis,
  analysisTable,
  analyze,
  type BlockReport,
  type ContextBucket,
} from './analyze.ts';
export type { Agreement } from './answers.ts';
export type { Choice, ChoiceWeights, ChosenBlock, Measure } from './choose.ts';
export type { ChoosingOptions } from './choose-layers.ts';
export { convert } from './convert.ts';
export type { ConvertOptions } from './convert-target.ts';
export { CONVERT_STAGES, type ConvertEvent, type ConvertStage, type OnEvent } from './events.ts';
export { stageHandle } from './handle-folder.ts';
export { type Healing, heal } from './heal.ts';
export { type HealMoreOptions, healMore } from './heal-more.ts';
export { type HealOptions, type HealPlan, planHealing } from './heal-plan.ts';
export type { Log } from './healing-run.ts';
export { mergeAdapter } from './merge.ts';
export { type MergeOptions, type OnGpu, type OpenOptions, openOnGpu, refuseChild } from './on-gpu.ts';
export type { PairCost } from './pairs.ts';
export type { Quality, TextMeasure } from './quality.ts';
export type { Recall } from './recall.ts';
export { type ConvertReport, reportText } from './report.ts';
export type { Speed } from './speed.ts';
export type { Stage, Staged } from './staged.ts';
export type { ModelSize, StageReport } from './stages.ts';
export { type TextOptions, textWindows } from './text.ts';
export type { Windows } from './windows.ts';

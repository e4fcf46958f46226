// The benchmark harness that `shishulm bench` and the page share.
export { CLAIMS, CLAIMS_NOTE } from './bench/claims.ts';
export {
  COMPARED_HEAD,
  type ComparedRow,
  type ComparedValue,
  type Comparison,
  comparedText,
  compareResults,
  comparisonMarkdown,
  resultFromJson,
  resultText,
} from './bench/compare.ts';
export { cautions, toCsv, toJson, toMarkdown } from './bench/export.ts';
export { bytesText } from './bench/fit.ts';
export { GPUS, type GpuFigures } from './bench/gpus.ts';
export {
  comparedWith,
  compareWith,
  KERNEL_HEAD,
  type KernelFigures,
  type KernelRow,
  kernelCells,
  kernelRows,
  PHASES,
} from './bench/kernels.ts';
export { type BenchModel, benchModelText, PRESETS, parseBenchModel, parseStack } from './bench/models.ts';
export type { BenchResult, ModelFacts, ProfilePoint, Which } from './bench/result.ts';
export { type BenchOptions, type BenchProgress, runBench } from './bench/run.ts';
export {
  type BenchSettings,
  FULL,
  parseSettings,
  QUICK,
  type SettingName,
  settingsFromLink,
  settingsText,
  settingsToLink,
} from './bench/settings.ts';
export {
  adapterText,
  blockTimes,
  differ,
  figure,
  kernelTimes,
  ratioText,
  type SummaryRow,
  summaryOf,
} from './bench/summary.ts';

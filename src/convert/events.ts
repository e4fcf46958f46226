// What a conversion tells while it runs: plain data, for plots.
import type { CurvePoint } from '../train/run.ts';
import type { ChosenBlock, Measure } from './choose.ts';
import type { ConvertReport } from './report.ts';

/** Stages, in their order; those that a conversion does not need are left out. */
export const CONVERT_STAGES = [
  'parent',
  'choosing',
  'dropped',
  'linear',
  'written',
  'healing',
  'speed',
] as const;
export type ConvertStage = (typeof CONVERT_STAGES)[number];

export type ConvertEvent =
  /** A stage begins. */
  | { kind: 'stage'; stage: ConvertStage }
  /** A model on the way was measured. */
  | { kind: 'step'; step: ConvertReport['steps'][number] }
  /** One more block was chosen: all so far, in their order. */
  | { kind: 'chosen'; chosen: readonly ChosenBlock[]; parent: Measure }
  /** The loss curve of healing so far, over so many steps in all. */
  | { kind: 'curve'; curve: readonly CurvePoint[]; steps: number };

export type OnEvent = (event: ConvertEvent) => void;

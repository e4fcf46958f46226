import type { KvDtype } from '../engine/types.ts';
import type { Profile } from '../gpu/profile.ts';
import type { WeightDtype } from '../kernels/tensor.ts';
import type { SettingName } from './settings.ts';
import type { Spread } from './stats.ts';
import type { Work } from './work.ts';

/** 0: the parent, 1: the child. */
export type Which = 0 | 1;

/** One of the two models. */
export interface ModelFacts {
  spec: string;
  label: string;
  /** Where its weights came from; random ones take the time of real ones, but their text has no meaning. */
  weights: 'folder' | 'synthesised';
  parameters: number;
  layers: number;
  attentionBlocks: number;
  dtype: WeightDtype;
  kv: KvDtype;
  /** Tokens that the KV cache holds. */
  context: number;
  /** Longest context of the model. */
  maxPositions: number;
  /** Bytes on the GPU, from the ledger, for one sequence. */
  bytes: { weights: number; kv: number; scratch: number; total: number };
  /** Bytes of KV that a token adds; counted from the shape. Of these, what blocks with a window add up to so many tokens. */
  kvBytesPerToken: number;
  kvWindows: readonly { bytesPerToken: number; tokens: number }[];
  /** Launches of one greedy decode step at the first position. */
  dispatchesPerToken: number;
}

export interface PromptPoint {
  model: Which;
  /** Length of the prompt. */
  tokens: number;
  /** From the call until the first token is on the CPU, ms. */
  ms: Spread;
  /** Prompt tokens a second, by the median. */
  tokensPerSecond: number;
}

export interface DecodePoint {
  model: Which;
  /** Tokens in the cache when the first timed token is chosen. */
  position: number;
  /** ms a token, one sequence. */
  ms: Spread;
  /** Bytes that a token has to read, counted from the buffers. */
  weightBytes: number;
  kvBytes: number;
  /** (weightBytes + kvBytes) over the median time. */
  gigabytesPerSecond: number;
}

export interface BatchPoint {
  model: Which;
  batch: number;
  /** ms a step, which chooses a token for each sequence. */
  ms: Spread;
  /** Of all sequences together, by the median. */
  tokensPerSecond: number;
  /** Bytes of weights that a step reads, with those that it reads several times, for each of its tokens: counted. */
  weightBytesPerToken: number;
}

export interface ProfilePoint {
  model: Which;
  phase: 'decode' | 'prompt';
  /** Block of the stack; null outside the blocks. */
  block: number | null;
  kernel: string;
  microseconds: number;
  /** What the launch has to do: counted. */
  work: Work;
  /** Microseconds that the model of speed expects on `adapter.gpu`; null where that is. */
  expected: number | null;
}

export interface TrainingPoint {
  model: Which;
  /** ms a step of AdamW on `rows` x `length` tokens. */
  ms: Spread;
  rows: number;
  length: number;
}

export interface BenchResult {
  format: 'shishulm-bench-1';
  /** ISO 8601, of the start. */
  date: string;
  adapter: {
    name: string;
    /** As the browser gives them; may be empty. */
    vendor: string;
    architecture: string;
    device: string;
    description: string;
    /** Which GPU of src/bench/gpus.ts it is, as its names tell or its user says; null where nobody does. */
    gpu: string | null;
    /** A CPU does the work of a GPU: only ratios mean anything. */
    software: boolean;
    /** Which kernels and defaults it got: those for a GPU, or those for a software adapter. */
    profile: Profile;
    features: { f16: boolean; subgroups: boolean; timestamps: boolean };
    subgroupSize: { min: number; max: number };
    maxBindingBytes: number;
    /** Of a plain copy, read and write both counted; null when not measured. */
    copyGigabytesPerSecond: number | null;
  };
  /** Browser or runtime, as it names itself. */
  runtime: string;
  settings: Record<SettingName, string>;
  models: ModelFacts[];
  prompts: PromptPoint[];
  decode: DecodePoint[];
  batches: BatchPoint[];
  /** Position of the decode steps of `batches`. */
  batchPosition: number;
  profile: ProfilePoint[];
  /** About the profile: why there is none, or what to know about it. */
  profileNote: string;
  training: TrainingPoint[];
  /** About training: why it was not timed, or how. */
  trainingNote: string;
  ended: 'running' | 'complete' | 'cancelled' | 'device-lost' | 'failed';
  /** What went wrong. */
  error: string | null;
  /** What happened during the run that makes its times doubtful. */
  disturbed: string[];
}

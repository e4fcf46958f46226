import type { SamplingDefaults } from '../formats/generation.ts';
import type { HubOptions } from '../formats/hub.ts';
import type { ThoughtTags } from '../formats/reasoning.ts';
import type { TemplateVariables } from '../formats/template-variables.ts';
import type { Profile, ProfileOption } from '../gpu/profile.ts';
import type { Constraint } from '../grammar/constraint.ts';
import type { TunedKernels } from '../kernels/tuning.ts';
import type { LinearMapData } from '../model/linear-maps.ts';
import type { Mode } from '../model/prune.ts';
import type { ModelSpec, Plan } from '../model/spec.ts';
import type { ChosenDtype, WeightDtype } from '../quant/index.ts';
import type { ModeSetting } from './modes.ts';
import type { FormatShare } from './weight-formats.ts';

/**
 * How weights are kept on the GPU. `auto` keeps F16 and BF16 checkpoints as f16, F32 ones as f32, and each matrix of a GGUF file in
 * the blocks that it is stored in (`ModelInfo.formats`). A BF16 tensor that f16 does not
 * hold stays f32 (`ModelInfo.f32Tensors`): one with a value past 65504, or whose values are so tiny that the ones below 2^-24,
 * f16's least, would weigh.
 */
export type Dtype = 'auto' | ChosenDtype;
export type KvDtype = 'f32' | 'f16';

export interface LoadProgress {
  phase: 'read' | 'compile' | 'ready';
  /** Bytes of weights on the GPU so far, as stored. */
  loadedBytes: number;
  totalBytes: number;
  /** The tensor that was just written. */
  tensor?: string;
  /** Kernels that were compiled so far for this load, beside reading and behind it, of those that are known to be needed. */
  kernels: { compiled: number; total: number };
}

export interface LoadOptions extends ReloadOptions {
  dtype?: Dtype;
  /**
   * Type of the KV cache. `auto` (the default): f16 with a GPU's profile, f32 with that of software. f16 is packed, and needs no
   * shader-f16.
   */
  kv?: 'auto' | KvDtype;
  /** Tokens of KV cache a sequence; default the model's maximum, at most 4096. */
  contextLength?: number;
  /** Replies that run at once (default 1), of one call or of several; each has its own KV cache. Further calls wait. */
  batch?: number;
  /**
   * Most bytes that the model may take on the GPU; it is refused before its weights are fetched when it needs more. WebGPU
   * does not tell how much memory there is, so the default is no limit.
   */
  memoryLimit?: number;
  /**
   * Time a few variants of the kernels on this GPU once the first reply has ended, between replies, run the fastest that are right
   * from then on, and keep the choice for the next load (in IndexedDB): at most two seconds, once a GPU and browser. `'off'`, as
   * `false`: neither time nor take what is kept. Default: true on a GPU; false where a CPU plays one, and with the profile
   * `software`.
   */
  tune?: boolean | 'off';
  /** A choice of kernels that was made elsewhere: what `ModelInfo.kernels.tuning` says, or a part of it. It is not timed anew. */
  tuning?: Partial<TunedKernels>;
  /**
   * Which kernels, sizes of chunks and defaults are taken: those for a GPU, or those for a CPU that plays one (a software
   * adapter). Results are the same but for rounding. Default `auto`: by the adapter.
   */
  profile?: ProfileOption;
  /** Where models named `owner/name` come from, and the token for them. */
  hub?: HubOptions;
  /** Used instead of the global `fetch`. */
  fetch?: typeof fetch;
  /**
   * Keep a model from a server in the browser, where the next visit reads it with no network (default true; in Node there
   * is nothing to keep it in). `refresh` asks the server first whether the files changed.
   */
  cache?: boolean | 'refresh';
  /**
   * Told when the model cannot be kept, needs plainer kernels or wider types, or has a chat template that does not read a variable
   * which it is given (default `console.warn`).
   */
  warn?: (message: string) => void;
  /**
   * Check the kernels that this model uses on this GPU, before the model is given out (default true): a few tokens through one
   * block of each kind and the head, samples of every result computed again on the CPU. Where a kernel is wrong, the next best of
   * its kind is checked and used (`ModelInfo.kernels`); where none is left, loading fails with `self-test`.
   */
  selfTest?: boolean;
}

/** A variant of a kernel that is not used on this GPU. */
export interface LeftOut {
  /** Where it runs, as `decode, block 0: qkv (matvec)`, or its name. */
  kernel: string;
  /** What is not used of it: a choice of `ModelInfo.kernels.tuning` and its value, or a feature of the device, as `subgroups`. */
  variant: string;
  why: 'computes wrongly in' | 'does not compile';
}

/** Which kernels run. */
export interface KernelInfo {
  /** The choice that runs: what the option `tuning` takes. */
  tuning: TunedKernels;
  /** Whether it is the default of the profile, was given, was kept from an earlier load, or was timed in this one. */
  from: 'defaults' | 'given' | 'kept' | 'timed';
  /** Variants that fail on this GPU: others take their place. */
  leftOut: readonly LeftOut[];
}

/** What the self-test of `loadModel` found. */
export interface SelfTest {
  /** `plain`: some usual kernels computed wrongly here, and slower ones that do not are used. `off`: it was not made. */
  kernels: 'usual' | 'plain' | 'off';
  /** Kernels that computed wrongly. */
  wrong: readonly string[];
  ms: number;
}

/** Options of one load, the first or `Model.reload`. */
export interface ReloadOptions {
  onProgress?: (progress: LoadProgress) => void;
  signal?: AbortSignal;
  /** A device to share, which is not destroyed with the model (default: one of the model's own). */
  device?: GPUDevice;
}

export interface Message {
  role: string;
  content: string;
  [field: string]: unknown;
}

/** Token ids, as `encode` and results give them, or as typed arrays hold them. */
export type TokenIds = readonly number[] | Uint32Array | Int32Array;

/** What a reply is to: a text, a conversation (through the model's chat template), or token ids. */
export type Prompt = string | readonly Message[] | TokenIds;

/** Options of one reply. An unknown option, or one out of range, is an error that names it. */
export interface GenerateOptions {
  /** Most new tokens (default: until the context is full). */
  maxTokens?: number;
  /** 0 is greedy (the default); above 0 the softmax is taken of logits / temperature. */
  temperature?: number;
  /** Keep the k most likely tokens; 0 keeps all. */
  topK?: number;
  /** Keep the smallest set of tokens whose probability reaches topP (0..1]; after topK. */
  topP?: number;
  /** Keep tokens at least minP times as likely as the likeliest [0..1]. */
  minP?: number;
  /** Divides positive and multiplies negative logits of tokens in the prompt or the reply; 1 is off. */
  repetitionPenalty?: number;
  /** Subtracted from a token's logit for each time it is in the reply. */
  frequencyPenalty?: number;
  /** Subtracted once from the logit of every token in the reply. */
  presencePenalty?: number;
  /** Added to the logits of these token ids. */
  logitBias?: Record<number, number>;
  /** Same seed, model and device: same text. Default: drawn anew. */
  seed?: number;
  /** Report the log-probability (nats, of the model's own distribution) of each token. */
  logprobs?: boolean;
  /** With `logprobs`: also the n likeliest tokens of each position (0..20). */
  topLogprobs?: number;
  /** Strings that end the reply; they are not part of its text. Control tokens are found as they are written, `<|im_end|>`. */
  stop?: string | readonly string[];
  /** Token ids that end the reply, besides the model's own. */
  stopTokenIds?: TokenIds;
  /**
   * What the whole reply must be: the model chooses only among tokens that keep it so, and the reply ends where it must. A
   * reply that meets `maxTokens`, a stop string or an abort first is cut, and then need not be whole. Of a model that reasons
   * before it answers, it is what the answer must be.
   */
  constraint?: Constraint;
  /** Go on past the model's end-of-text tokens. */
  ignoreEos?: boolean;
  /** For a message prompt: ask the template to open the assistant's turn (default true). */
  addGenerationPrompt?: boolean;
  /** For a message prompt: functions, in OpenAI's form, that the chat template tells the model of. */
  tools?: readonly object[];
  /**
   * For a message prompt: further variables of the chat template, as `{ enable_thinking: false }`: JSON values. One that the
   * template does not read is warned of (`LoadOptions.warn`); `Model.templateVariables` are those that it reads.
   */
  templateVariables?: TemplateVariables;
  /**
   * What stands around the reasoning that a reply begins with, which is told apart from its answer (`GenerateChunk.reasoning`).
   * Default: for a message prompt the tags that the model's template or vocabulary has (`Model.thoughtTags`), none for others.
   * False leaves the reply as it is, tags and all.
   */
  reasoningTags?: ThoughtTags | false;
  /**
   * Most tokens of reasoning: where so many have not closed it, it is closed for the model, which then answers. The tokens that
   * close it are part of the reply, and have no `logprob`. 0 closes at once.
   */
  reasoningBudget?: number;
  /** How the attention blocks run in this reply, whatever `Model.setModes` says before or during it. */
  modes?: ModeSetting;
  /** A LoRA adapter, by the name that `Model.loadAdapter` gave it (default: none). */
  adapter?: string;
  signal?: AbortSignal;
}

/** How a text that is given whole runs. */
export interface WholeOptions {
  /** As in `GenerateOptions`. */
  adapter?: string;
  /** Default: as `Model.setModes` said last. */
  modes?: ModeSetting;
  signal?: AbortSignal;
}

export interface AdapterOptions {
  /** What replies choose it by (default: the last part of the source's name). */
  name?: string;
  signal?: AbortSignal;
}

/** A LoRA adapter that is loaded. */
export interface AdapterInfo {
  name: string;
  /** The largest of its matrices. */
  rank: number;
  /** On the GPU, where its factors are f32. */
  bytes: number;
  /** What it adds to, as `q_proj`. */
  targets: readonly string[];
}

/** A text, or its token ids, or a list of them. */
export type EmbedInput = string | TokenIds | readonly (string | TokenIds)[];

/** How texts become vectors. An unknown option, or one out of range, is an error that names it. */
export interface EmbedOptions extends WholeOptions {
  /** The hidden state of the last token, or the mean of all. Default: what the model's files name, else `last`. */
  pooling?: 'last' | 'mean';
  /** Make each vector's length 1. Default: as the model's files say; true where they say nothing. */
  normalize?: boolean;
  /**
   * What is put before each text: a prompt of the model's files by its name, as `query`, or a text, as it is. Default: the
   * prompt that the files say, else none.
   */
  instruction?: string;
  /** Keep the first numbers of each vector, of models that were trained for it; `normalize` comes after that. */
  dimensions?: number;
  /** Cut texts that are longer than the context (default: they are an error). */
  truncate?: boolean;
  /** Told as texts are done. */
  onProgress?: (progress: { texts: number; total: number }) => void;
}

/** What `model.embed` returns, in the order of the texts. */
export interface Embeddings {
  embeddings: Float32Array<ArrayBuffer>[];
  /** Tokens of each text, with its instruction and the special tokens around it. */
  tokens: number[];
}

/** Maps that stand in for attention, by layer. */
export type LinearMaps = Readonly<Record<number, LinearMapData>>;

/** How likely a token was. */
export interface TokenChance {
  /** Nats. */
  logprob: number;
  /** UTF-8 that it stands for in the reply, which may be a part of a character; control tokens as they are written. */
  bytes?: readonly number[];
}

export interface TokenLogprob extends TokenChance {
  top: (TokenChance & { tokenId: number })[];
}

/**
 * One step of a reply. `text` may be empty while a character or a stop string is incomplete; where some was held back at the
 * end, one chunk more completes the text, with the `tokenId` of the one before it.
 */
export interface GenerateChunk {
  /** Of the answer. */
  text: string;
  /** What the model thinks before it answers, without its tags; undefined where the reply is not reasoning, or no longer. */
  reasoning?: string;
  tokenId: number;
  logprob?: TokenLogprob;
}

/** One step of one of several replies. */
export interface BatchChunk extends GenerateChunk {
  /** Which reply. */
  index: number;
}

export type FinishReason = 'stop' | 'length' | 'aborted';

export interface Usage {
  promptTokens: number;
  completionTokens: number;
  /** Those of the completion that come before the answer; undefined without reasoning. */
  reasoningTokens?: number;
  totalTokens: number;
  /** Prompt tokens whose K and V were already in the cache. */
  cachedTokens: number;
}

export interface Timings {
  /** Milliseconds from the call to the first token. */
  firstTokenMs: number;
  prefillMs: number;
  decodeMs: number;
  prefillTokensPerSecond: number;
  decodeTokensPerSecond: number;
}

export interface GenerateResult {
  /** The answer. */
  text: string;
  /** What the model thought before it; undefined where it did not. A reply that was cut while it thought is all reasoning. */
  reasoning?: string;
  promptTokenIds: number[];
  tokenIds: number[];
  finishReason: FinishReason;
  usage: Usage;
  timings: Timings;
}

/** What `model.score` returns. */
export interface Score {
  /** Mean negative log-likelihood of tokens 1..n-1, nats. */
  nll: number;
  /** `(n)`: log-probability of token i given those before it; the first is 0. */
  logprobs: Float32Array;
  /** `(n)`: the likeliest token after token i. */
  top1: Uint32Array;
}

/** Bytes on the GPU, by what they are for. */
export interface ModelBytes {
  weights: number;
  kv: number;
  scratch: number;
  total: number;
}

export interface ModelInfo {
  spec: ModelSpec;
  /** As loaded. */
  plan: Plan;
  /** How each attention block of the plan runs, by layer. */
  modes: Readonly<Record<number, Mode>>;
  parameters: number;
  /** What most weights are in: a `Dtype`, or of a GGUF file a format of its blocks. */
  dtype: WeightDtype;
  /** All formats that matrices are in, of most bytes first. */
  formats: readonly FormatShare[];
  /** How the model's own files say to choose tokens, to be given to `generate`: `{ ...info.sampling }`; empty where they do not. */
  sampling: SamplingDefaults;
  /** Matrices that are kept as f32 though `dtype` is f16: f16 does not hold one of their values, or one of a matrix's beside them. */
  f32Tensors: readonly string[];
  kv: KvDtype;
  /** Bytes of KV that a token adds to a sequence, in these modes, while blocks with a window have room; past it they add nothing. */
  kvBytesPerToken: number;
  contextLength: number;
  /** Replies that can run at once. */
  batch: number;
  /** Bytes on the GPU, from the ledger. */
  bytes: ModelBytes;
  selfTest: SelfTest;
  kernels: KernelInfo;
  /** Compute dispatches that one decoded token takes in these modes (greedy, short context). */
  dispatchesPerToken: number;
  /** LoRA adapters that are loaded. */
  adapters: readonly AdapterInfo[];
  /** The GPU's name. */
  adapter: string;
  /** Which kernels and defaults were taken; see `LoadOptions.profile`. */
  profile: Profile;
}

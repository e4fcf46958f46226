import type { ChatTemplateOptions, ToolFormat } from '../formats/chat-template.ts';
import type { SourceLike } from '../formats/open-source.ts';
import type { ThoughtTags } from '../formats/reasoning.ts';
import type { TunedKernels } from '../kernels/tuning.ts';
import type { ModeSetting, PruneOrder } from './modes.ts';
import type {
  AdapterInfo,
  AdapterOptions,
  BatchChunk,
  Embeddings,
  EmbedInput,
  EmbedOptions,
  GenerateChunk,
  GenerateOptions,
  GenerateResult,
  LinearMaps,
  Message,
  ModelInfo,
  Prompt,
  ReloadOptions,
  Score,
  TokenIds,
  WholeOptions,
} from './types.ts';

/**
 * A loaded model, in the page's thread or in a worker. As many replies run together as the model was loaded with a `batch`
 * for; the others wait, in the order they were asked for. Scores, logits and what changes the model (linear maps, freed KV
 * buffers) run alone. Every method is asynchronous: its errors are rejections, those of a stream come with the first step. A
 * model that was disposed answers each call with `disposed`.
 */
export interface EngineModel {
  /**
   * Configuration, plan, modes, sizes; bytes are the ledger's. Of a model in a worker: as they were when the last call ended.
   */
  readonly info: ModelInfo;
  readonly hasChatTemplate: boolean;
  /** How the chat template has tools called; undefined where it has none, or in a form that is not known. */
  readonly toolFormat: ToolFormat | undefined;
  /** What stands around the model's reasoning, as `<think>`: tags that its chat template or its vocabulary has. */
  readonly thoughtTags: readonly ThoughtTags[];
  /** Variables that the chat template reads besides those of every conversation, as `enable_thinking`. */
  readonly templateVariables: readonly string[];
  /** Token ids of a text, with the special tokens that the model expects around it. */
  encode(text: string): Promise<number[]>;
  /** Text of token ids, without control tokens. */
  decode(tokenIds: TokenIds): Promise<string>;
  /** A conversation as the model reads it. @throws ShishuError `unsupported` when the model has no chat template. */
  applyChatTemplate(messages: readonly Message[], options?: ChatTemplateOptions): Promise<string>;
  /**
   * Streams a reply to a text, a conversation (through the model's chat template) or token ids.
   * Leaving the loop early ends the reply. The generator's return value holds the whole of it.
   * As many replies run at once as the model was loaded for (`batch`), each as if alone; a further one waits for its turn. Tokens
   * are made when they are asked for: who does not read on keeps its place, and holds up only those who wait for one.
   * @throws ShishuError `bad-argument`, `context-full`, `device-lost`, `disposed`
   */
  generate(
    prompt: Prompt,
    options?: GenerateOptions,
  ): AsyncGenerator<GenerateChunk, GenerateResult, undefined>;
  /**
   * As `generate`, `n` replies to one prompt that decode together; reply i is drawn with `seed + i`. The prompt runs once.
   * @throws ShishuError `bad-argument` also when the model was loaded with a `batch` below `n`
   */
  generateBatch(
    prompt: Prompt,
    n: number,
    options?: GenerateOptions,
  ): AsyncGenerator<BatchChunk, GenerateResult[], undefined>;
  /** How likely a text is: one prefill, positions 0 up; alone, behind the calls before it. @throws ShishuError `bad-argument`, `context-full`. */
  score(tokenIds: TokenIds, options?: WholeOptions): Promise<Score>;
  /** Logits of every position: `(tokens, vocab)` f32; from a worker they are moved, not copied. Runs alone, as `score`. */
  logits(tokenIds: TokenIds, options?: WholeOptions): Promise<Float32Array<ArrayBuffer>>;
  /**
   * A vector for each text: the hidden state after the last norm, of the last token or the mean of all, as the model's own files
   * say (`modules.json` of sentence-transformers). As many texts run at once as the model was loaded for (`batch`); no head is run.
   * Long lists give others their turn in between.
   * @throws ShishuError `bad-argument`, `context-full`, `unsupported` for a pooling that is not supported
   */
  embed(texts: EmbedInput, options?: EmbedOptions): Promise<Embeddings>;
  /**
   * Sets how the attention blocks run, from the next token on, also of a reply that is under way (but for one with `modes` of
   * its own). Modes go down from `attention` over `linear` (a map in its place, see `setLinearMaps`) to `skip`.
   *
   * Going down keeps what is cached: later tokens attend to K and V that fuller modes made, and each position counts in the
   * modes it ran in. Going up, in any block, runs anew what was not made in exactly the new modes: logits are then those of a
   * fresh run. `reset` makes any run a fresh one.
   * @param setting a mode for some layers, the others keep their attention (`{}` is all of it); or the share that keeps it
   * @param options `releaseKv`: then free the KV buffers that these modes do not use, as `releaseUnusedKv`
   * @throws ShishuError `bad-argument`: a layer that is not an attention block, `linear` without a map, a level out of range;
   * `out-of-memory`, when KV buffers that were released do not fit any more: the modes stay as they were
   */
  setModes(setting: ModeSetting, options?: { releaseKv?: boolean }): Promise<void>;
  /** Sets the order in which levels of `setModes` take attention away. @throws ShishuError `bad-argument` */
  setPruneOrder(order: PruneOrder): Promise<void>;
  /**
   * Frees the KV buffers of blocks that do not attend in the modes that are set; waits for the calls before it. Going up makes
   * them again, and runs again what they held.
   */
  releaseUnusedKv(): Promise<void>;
  /**
   * Gives attention blocks linear maps (f32), by layer, for the mode `linear`; waits for the calls before it. A map that is
   * there is replaced. What is cached is forgotten.
   * @throws ShishuError `bad-argument`: a layer that is not an attention block, wrong lengths, numbers that are not finite;
   * `out-of-memory`
   */
  setLinearMaps(maps: LinearMaps): Promise<void>;
  /**
   * Loads a LoRA adapter of the Python package peft (`adapter_config.json` and `adapter_model.safetensors`) beside those that are
   * loaded; waits for the calls before it. Replies, scores and logits choose it by name (`adapter`); those without one run as if
   * there were none.
   * @param source what `loadModel` takes: `owner/name` on a hub, the URL of a folder, `File[]`, a directory handle, an object
   * with `read`
   * @throws ShishuError `not-found`, `io`, `bad-config`, `bad-checkpoint` (tensor and both shapes), `unsupported` (what is no plain
   * LoRA, by name), `does-not-fit`, `out-of-memory`; `bad-argument` for a name that is taken
   */
  loadAdapter(source: SourceLike, options?: AdapterOptions): Promise<AdapterInfo>;
  /** Frees an adapter; waits for the calls before it. @throws ShishuError `bad-argument` for a name that is not loaded */
  unloadAdapter(name: string): Promise<void>;
  /**
   * Times variants of the kernels now, between replies, whatever the option `tune` says, and runs the fastest from then on: at most
   * two seconds of work. The choice is kept for the next load, and can be given to one elsewhere (`LoadOptions.tuning`). What is
   * cached of one conversation is forgotten.
   * @throws ShishuError `unsupported` where no clock is fine enough
   */
  tune(): Promise<TunedKernels>;
  /** Forgets the conversation: the next prompt is prefilled whole. */
  reset(): Promise<void>;
  /**
   * Loads the model again after its device was lost (calls then reject with `device-lost`): from where it came, in a page
   * mostly from the cache, onto a new device. The modes are kept; blocks that ran in linear maps of `setLinearMaps` get their
   * attention back, and adapters are read again. Then a conversation goes on: its next prompt is prefilled whole. Does nothing where nothing was lost. A
   * worker of the package's own that stopped is replaced; a `device` cannot go to a worker.
   * @throws ShishuError those of `loadModel`; the model can then be reloaded once more
   */
  reload(options?: ReloadOptions): Promise<void>;
  /** Frees every byte on the GPU; a reply under way, and any later call, ends with a `disposed` error. Twice is no error. */
  dispose(): Promise<void>;
}

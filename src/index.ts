export type { Chat } from './api/chat.ts';
export type { CrashedLoad, CrashNoteOptions } from './api/crash-notes.ts';
export type {
  EmbeddingItem,
  EmbeddingRequest,
  EmbeddingResponse,
  EmbeddingsClient,
} from './api/embeddings.ts';
export {
  crashedLoads,
  estimate,
  forgetCrashedLoads,
  type LoadEstimate,
  type LocalLoadOptions,
  loadModel,
} from './api/load.ts';
export type { Model } from './api/model.ts';
export type { CallOptions, ChatCompletions, ChatStream } from './api/openai.ts';
export type { ChatContent, ChatMessage, ChatRequest, ResponseFormat } from './api/openai-request.ts';
export type * from './api/openai-types.ts';
export type { WorkerLoadOptions } from './api/remote.ts';
export type { ChatTool } from './api/tool-calls.ts';
export type { Estimate, FittingSize } from './engine/estimate.ts';
export type { EngineModel } from './engine/model-interface.ts';
export type { ModeSetting, PruneOrder } from './engine/modes.ts';
export type { ModelSize } from './engine/size.ts';
export type * from './engine/types.ts';
export { type ErrorCode, type ErrorDetails, type ErrorExtra, ShishuError } from './errors.ts';
export { type CachedFile, deleteCached, listCached } from './formats/cache-files.ts';
export type { ChatTemplateOptions, ToolFormat } from './formats/chat-template.ts';
export type { HubOptions } from './formats/hub.ts';
export type { SourceLike } from './formats/open-source.ts';
export type { RawSource } from './formats/raw-source.ts';
export type { ThoughtTags } from './formats/reasoning.ts';
export type { TemplateVariables } from './formats/template-variables.ts';
export type { Profile, ProfileOption } from './gpu/profile.ts';
export type { Constraint } from './grammar/constraint.ts';
export type { LaneShape, TunedKernels } from './kernels/tuning.ts';
export type { LinearMapData } from './model/linear-maps.ts';
export type { Mode, Modes } from './model/prune.ts';
export type * from './model/spec.ts';
export type { WeightDtype } from './quant/index.ts';

export { loadModel } from './engine/engine.ts';
export type { Model } from './engine/model.ts';
export type * from './engine/types.ts';
export { type ErrorCode, type ErrorDetails, ShishuError } from './errors.ts';
export { type CachedFile, deleteCached, listCached } from './formats/cache.ts';
export type { HubOptions } from './formats/hub.ts';
export type { RawSource, SourceLike } from './formats/source.ts';
export type { ModelConfig } from './model/config.ts';
export type { Block, Plan } from './model/plan.ts';

import type { EngineModel } from '../engine/model-interface.ts';
import type { Chat } from './chat.ts';
import type { EmbeddingsClient } from './embeddings.ts';

/** What `loadModel` gives: the same in the page's thread and in a worker. */
export interface Model extends EngineModel {
  /** `chat.completions.create({messages, stream, ...})`, in OpenAI's shapes. */
  readonly chat: Chat;
  /** `embeddings.create({input, ...})`, in OpenAI's shapes. */
  readonly embeddings: EmbeddingsClient;
}

/**
 * What is written by hand at both ends of the connection to a worker: `reload` takes the sources of the model and its adapters
 * along once more, whose `read` is lent for one call at a time, and starts a worker anew; `dispose` takes the model off the lists.
 */
type ByHand = 'reload' | 'dispose';

export type Carried = Omit<EngineModel, ByHand>;

/** How each member is carried over the connection. */
export type MemberTable<Members> = { [Name in keyof Members]: Carriage<Members[Name]> };

/** A method that returns at once has no way to a worker. */
type Carriage<Member> = Member extends (...args: never[]) => infer Answer
  ? Answer extends AsyncGenerator
    ? { kind: 'stream' }
    : Answer extends Promise<infer Value>
      ? { kind: 'call'; transfer?: (value: Value) => Transferable[]; source?: true }
      : never
  : { kind: 'data' };

/**
 * The members of a model, once: the worker's end serves by this table, the page's end is made from it. `data` is sent along
 * when a model is loaded, and again before the answer to every call.
 */
export const MEMBERS = {
  info: { kind: 'data' },
  hasChatTemplate: { kind: 'data' },
  toolFormat: { kind: 'data' },
  thoughtTags: { kind: 'data' },
  templateVariables: { kind: 'data' },
  encode: { kind: 'call' },
  decode: { kind: 'call' },
  applyChatTemplate: { kind: 'call' },
  generate: { kind: 'stream' },
  generateBatch: { kind: 'stream' },
  score: {
    kind: 'call',
    transfer: ({ logprobs, top1 }) => [logprobs.buffer as ArrayBuffer, top1.buffer as ArrayBuffer],
  },
  embed: { kind: 'call', transfer: ({ embeddings }) => embeddings.map(({ buffer }) => buffer) },
  logits: { kind: 'call', transfer: (logits) => [logits.buffer] },
  setModes: { kind: 'call' },
  setPruneOrder: { kind: 'call' },
  releaseUnusedKv: { kind: 'call' },
  setLinearMaps: { kind: 'call' },
  loadAdapter: { kind: 'call', source: true },
  unloadAdapter: { kind: 'call' },
  tune: { kind: 'call' },
  reset: { kind: 'call' },
} satisfies MemberTable<Carried>;

type DataName = {
  [Name in keyof Carried]: (typeof MEMBERS)[Name] extends { kind: 'data' } ? Name : never;
}[keyof Carried];

/** What is known of a model without asking it. */
export type ModelData = Pick<Carried, DataName>;

/** A row of the table, whatever its member. */
interface Row {
  kind: 'data' | 'call' | 'stream';
  transfer?(value: unknown): Transferable[];
  /** Its first argument is a source, which crosses in a form of its own. */
  source?: true;
}

export const MEMBER_ROWS = Object.entries(MEMBERS) as [keyof Carried, Row][];

export const dataOf = (model: EngineModel): ModelData =>
  Object.fromEntries(
    MEMBER_ROWS.filter(([, { kind }]) => kind === 'data').map(([name]) => [name, model[name]]),
  ) as unknown as ModelData;

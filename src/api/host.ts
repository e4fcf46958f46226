import type { Model } from '../engine/model.ts';
import type { ModeSetting, PruneOrder } from '../engine/modes.ts';
import type {
  GenerateOptions,
  LinearMaps,
  LoadOptions,
  Message,
  ModelInfo,
  Prompt,
  ReloadOptions,
  TokenIds,
  WholeOptions,
} from '../engine/types.ts';
import { ShishuError } from '../errors.ts';
import type { ChatTemplateOptions, ThoughtTags, ToolFormat } from '../formats/chat-template.ts';
import type { SourceLike } from '../formats/source.ts';
import { type Endpoint, Peer, Transferred } from './rpc.ts';
import { openTransferable, type TransferableSource } from './transferable.ts';

/** What the worker's side needs of a loaded model. */
export type HostedModel = Pick<
  Model,
  | 'info'
  | 'hasChatTemplate'
  | 'toolFormat'
  | 'generate'
  | 'generateBatch'
  | 'score'
  | 'logits'
  | 'setModes'
  | 'setPruneOrder'
  | 'releaseUnusedKv'
  | 'setLinearMaps'
  | 'encode'
  | 'decode'
  | 'applyChatTemplate'
  | 'reset'
  | 'reload'
  | 'dispose'
> &
  Partial<Pick<Model, 'thoughtTags'>>;

export type HostedLoad = (source: SourceLike, options: LoadOptions) => Promise<HostedModel>;

/** What `load` answers: the number that names the model in later calls, and what is known of it. */
export interface LoadedModel {
  id: number;
  info: ModelInfo;
  hasChatTemplate: boolean;
  toolFormat: ToolFormat | undefined;
  thoughtTags: readonly ThoughtTags[];
}

/** Serves models to the page at the other end of `endpoint`; all are freed when the line closes. */
export function hostModels(endpoint: Endpoint, load: HostedLoad): Peer {
  const models = new Map<number, { model: HostedModel; source: TransferableSource }>();
  let nextId = 0;
  let closed = false;

  const find = (id: number): { model: HostedModel; source: TransferableSource } => {
    const found = models.get(id);
    if (found) return found;
    throw new ShishuError('disposed', 'The model was disposed.', { mend: 'Load it again.' });
  };
  const get = (id: number): HostedModel => find(id).model;

  /** Tells the page of a model's sizes and modes; on the line before the answer of the call that changed them. */
  const inform = (id: number): void => {
    const found = models.get(id);
    if (found) peer.call('informed', id, found.model.info).catch(() => {});
  };
  const informing = async <T>(id: number, call: (model: HostedModel) => T): Promise<Awaited<T>> => {
    try {
      return await call(get(id));
    } finally {
      inform(id);
    }
  };
  async function* streaming<T, R>(id: number, stream: AsyncGenerator<T, R>): AsyncGenerator<T, R> {
    try {
      return yield* stream;
    } finally {
      inform(id);
    }
  }

  const peer = new Peer(
    endpoint,
    {
      async load(source: TransferableSource, options: LoadOptions): Promise<LoadedModel> {
        const model = await load(openTransferable(source), options);
        if (closed) {
          await model.dispose();
          throw new ShishuError('disposed', 'The page left while the model was loading.');
        }
        const id = nextId++;
        models.set(id, { model, source });
        const { info, hasChatTemplate, toolFormat, thoughtTags = [] } = model;
        return { id, info, hasChatTemplate, toolFormat, thoughtTags };
      },
      generate: (id: number, prompt: Prompt, options: GenerateOptions) =>
        streaming(id, get(id).generate(prompt, options)),
      generateBatch: (id: number, prompt: Prompt, n: number, options: GenerateOptions) =>
        streaming(id, get(id).generateBatch(prompt, n, options)),
      async score(id: number, tokenIds: TokenIds, options: WholeOptions) {
        const score = await informing(id, (model) => model.score(tokenIds, options));
        return new Transferred(score, [
          score.logprobs.buffer as ArrayBuffer,
          score.top1.buffer as ArrayBuffer,
        ]);
      },
      async logits(id: number, tokenIds: TokenIds, options: WholeOptions) {
        const logits = await informing(id, (model) => model.logits(tokenIds, options));
        return new Transferred(logits, [logits.buffer]);
      },
      setModes: (id: number, setting: ModeSetting, options: { releaseKv?: boolean }) =>
        informing(id, (model) => model.setModes(setting, options)),
      setPruneOrder: (id: number, order: PruneOrder) => get(id).setPruneOrder(order),
      releaseUnusedKv: (id: number) => informing(id, (model) => model.releaseUnusedKv()),
      setLinearMaps: (id: number, maps: LinearMaps) => informing(id, (model) => model.setLinearMaps(maps)),
      encode: (id: number, text: string) => get(id).encode(text),
      decode: (id: number, tokenIds: TokenIds) => get(id).decode(tokenIds),
      applyChatTemplate: (id: number, messages: Message[], options: ChatTemplateOptions) =>
        get(id).applyChatTemplate(messages, options),
      reset: (id: number) => get(id).reset(),
      reload(id: number, source: TransferableSource, options: ReloadOptions) {
        // What the page lent for the load was lent for that call alone.
        Object.assign(find(id).source, source);
        return informing(id, (model) => model.reload(options));
      },
      async dispose(id: number) {
        const found = models.get(id);
        models.delete(id);
        await found?.model.dispose();
      },
    },
    () => {
      closed = true;
      for (const { model } of models.values()) void model.dispose();
      models.clear();
    },
  );
  return peer;
}

import type { Model } from '../engine/model.ts';
import type { GenerateOptions, LoadOptions, Message, ModelInfo } from '../engine/types.ts';
import { ShishuError } from '../errors.ts';
import type { ToolFormat } from '../formats/chat-template.ts';
import type { SourceLike } from '../formats/source.ts';
import { openPortable, type PortableSource } from './portable.ts';
import { type Endpoint, Peer, Transferred } from './rpc.ts';

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
  | 'encode'
  | 'decode'
  | 'applyChatTemplate'
  | 'reset'
  | 'dispose'
>;

export type HostedLoad = (source: SourceLike, options: LoadOptions) => Promise<HostedModel>;

/** What `load` answers: the number that names the model in later calls, and what is known of it. */
export interface LoadedModel {
  id: number;
  info: ModelInfo;
  hasChatTemplate: boolean;
  toolFormat: ToolFormat | undefined;
}

/** Serves models to the page at the other end of `endpoint`; all are freed when the line closes. */
export function hostModels(endpoint: Endpoint, load: HostedLoad): Peer {
  const models = new Map<number, HostedModel>();
  let nextId = 0;
  let closed = false;

  const get = (id: number): HostedModel => {
    const model = models.get(id);
    if (model) return model;
    throw new ShishuError('disposed', 'The model was disposed.', { mend: 'Load it again.' });
  };

  return new Peer(
    endpoint,
    {
      async load(source: PortableSource, options: LoadOptions): Promise<LoadedModel> {
        const model = await load(openPortable(source), options);
        if (closed) {
          await model.dispose();
          throw new ShishuError('disposed', 'The page left while the model was loading.');
        }
        const id = nextId++;
        models.set(id, model);
        const { info, hasChatTemplate, toolFormat } = model;
        return { id, info, hasChatTemplate, toolFormat };
      },
      generate: (id: number, prompt: string | Message[] | Uint32Array, options: GenerateOptions) =>
        get(id).generate(prompt, options),
      generateBatch: (
        id: number,
        prompt: string | Message[] | Uint32Array,
        n: number,
        options: GenerateOptions,
      ) => get(id).generateBatch(prompt, n, options),
      async score(id: number, tokenIds: number[], options: { signal?: AbortSignal }) {
        const score = await get(id).score(tokenIds, options);
        return new Transferred(score, [
          score.logprobs.buffer as ArrayBuffer,
          score.top1.buffer as ArrayBuffer,
        ]);
      },
      async logits(id: number, tokenIds: number[], options: { signal?: AbortSignal }) {
        const logits = await get(id).logits(tokenIds, options);
        return new Transferred(logits, [logits.buffer]);
      },
      encode: (id: number, text: string) => get(id).encode(text),
      decode: (id: number, tokenIds: number[]) => get(id).decode(tokenIds),
      applyChatTemplate: (id: number, messages: Message[], options: { addGenerationPrompt?: boolean }) =>
        get(id).applyChatTemplate(messages, options),
      reset: (id: number) => get(id).reset(),
      async dispose(id: number) {
        const model = models.get(id);
        models.delete(id);
        await model?.dispose();
      },
    },
    () => {
      closed = true;
      for (const model of models.values()) void model.dispose();
      models.clear();
    },
  );
}

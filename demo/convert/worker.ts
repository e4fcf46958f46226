// Analyses and converts in a worker: sums over tokens are made on the thread that asks, and the page must stay alive.

import { type Endpoint, Peer } from '../../src/api/rpc.ts';
import { openTransferable, type TransferableSource } from '../../src/api/transferable.ts';
import { type Analysis, analyze } from '../../src/convert/analyze.ts';
import { convert } from '../../src/convert/convert.ts';
import type { ConvertOptions } from '../../src/convert/convert-target.ts';
import type { ConvertEvent } from '../../src/convert/events.ts';
import { stageHandle } from '../../src/convert/handle-folder.ts';
import { healMore } from '../../src/convert/heal-more.ts';
import { bytesOf, type OnGpu, openOnGpu, refuseChild, withOnGpu } from '../../src/convert/on-gpu.ts';
import type { Progress } from '../../src/convert/progress.ts';
import { type ConvertReport, REPORT_FILE } from '../../src/convert/report.ts';
import { type SampleStore, sampleStore, textWindows } from '../../src/convert/text.ts';
import { chatsOf, type TextPart } from '../../src/convert/text-parts.ts';
import type { Windows } from '../../src/convert/windows.ts';
import { ShishuError } from '../../src/errors.ts';
import type { HubOptions } from '../../src/formats/hub.ts';
import { readJson } from '../../src/formats/json.ts';
import { openSource } from '../../src/formats/open-source.ts';
import type { Source } from '../../src/formats/source.ts';
import { lossOr } from '../../src/gpu/device.ts';
import type { ProfileOption } from '../../src/gpu/profile.ts';
import { BEGIN } from '../../src/train/chat-format.ts';
import { chatText } from '../corpus/text.ts';
import { savedModelsFolder } from '../saved-models.ts';
import { type Forecast, forecast } from './forecast.ts';
import type { ChildChoice, Request, TextChoice } from './request.ts';

/** A model that was analysed. */
export interface Analysed {
  analysis: Analysis;
  layers: number;
  hiddenSize: number;
  dtype: OnGpu['dtype'];
}

/** `total` is 0 while nothing can be counted. */
export type Tell = (what: string, done: number, total: number) => unknown;

/** How the page opens models. */
export interface How {
  profile: ProfileOption;
  hub: HubOptions;
}

/** Characters of a token, at most, in the built-in text. */
const TOKEN_CHARACTERS = 8;
/** Tokens of the built-in text that healing gets, at most; it passes over them more than once then. */
const MOST_CHAT_TOKENS = 200_000;

const open = (source: TransferableSource, { hub }: How): Source =>
  openSource(openTransferable(source), { cache: true, hub });

/** The parts of a text that the reader gave. */
function partsOf({ texts, withOwn }: TextChoice): TextPart[] {
  const given = texts.map(
    ({ name, text }): TextPart =>
      name.endsWith('.jsonl')
        ? { kind: 'chats', name, chats: chatsOf(name, text) }
        : { kind: 'text', name, texts: [text] },
  );
  // As many tokens of its own as of all texts together.
  return withOwn ? [...given, { kind: 'own', name: "the model's own words", weight: given.length }] : given;
}

interface Cutting {
  healTokens?: number | undefined;
  kept?: SampleStore;
  tell: Tell;
  signal: AbortSignal;
}

/** The text cut up: of a text, what is fitted to and measured on, and `healTokens` more where there are so many. */
function cut(
  parent: OnGpu,
  choice: TextChoice,
  { healTokens = 0, kept, tell, signal }: Cutting,
): Promise<Windows> {
  const { kind, tokens, window } = choice;
  const characters = TOKEN_CHARACTERS * (tokens + Math.min(healTokens, MOST_CHAT_TOKENS));
  const knowsFormat = (): boolean => parent.tokenizer.encode(BEGIN).length === 1;
  return textWindows(
    parent,
    {
      ...(kind === 'chats' && { text: chatText(1, characters, knowsFormat()) }),
      ...(kind === 'given' && { parts: partsOf(choice) }),
      tokens,
      window,
      healTokens,
      kept,
      signal,
      onProgress: (done, total) => tell('the model makes a text', done, total),
    },
    () => {},
  );
}

const methods = {
  /** What a conversion would take. */
  forecast: (
    source: TransferableSource,
    child: ChildChoice,
    text: TextChoice,
    how: How,
    signal: AbortSignal,
  ): Promise<Forecast> => forecast(open(source, how), child, text, signal),

  /** Measures every block of a parent. */
  async analyse(
    source: TransferableSource,
    text: TextChoice,
    how: How,
    tell: Tell,
    signal: AbortSignal,
  ): Promise<Analysed> {
    const parent = await openOnGpu(open(source, how), {
      profile: how.profile,
      signal,
      onProgress: (done, total) => tell('loading the parent', done, total),
    });
    try {
      refuseChild(parent);
      const windows = await cut(parent, text, { tell, signal });
      const { spec, dtype } = parent;
      const { analysis } = await analyze(parent, windows, {
        storedBytes: bytesOf(dtype),
        // Each block alone; the conversion chooses one after the other.
        count: 1,
        signal,
        onProgress: (done, total) => tell('measuring the blocks', done, total),
      });
      return { analysis, layers: spec.blocks.length, hiddenSize: spec.hiddenSize, dtype };
    } finally {
      parent.close();
    }
  },

  /** Converts a parent into a folder of the browser's, or heals a child further; or goes on with what is there. */
  async convert(
    source: TransferableSource,
    { name, text, child, more }: Request,
    how: How,
    tell: Tell,
    onEvent: (event: ConvertEvent) => unknown,
    signal: AbortSignal,
  ): Promise<ConvertReport> {
    const place = await savedModelsFolder();
    if (!place)
      throw new ShishuError('io', 'This browser keeps no files for pages here.', {
        mend: 'Use a window that is not private, or shishulm convert on the command line.',
      });
    const stage = (): ReturnType<typeof stageHandle> => stageHandle(place, name);
    const gpuOptions = { profile: how.profile };
    const told: Pick<ConvertOptions, 'log' | 'onEvent' | 'signal'> = {
      log: (line, done = 0, total = 0) => tell(line, done, total),
      onEvent,
      signal,
    };
    const run = async (parent: OnGpu): Promise<ConvertReport> => {
      const windows = (progress: Progress, healTokens = child.heal?.tokens): Promise<Windows> => {
        const kept = sampleStore(progress.staged, () => {
          progress.keeps = true;
        });
        return cut(parent, text, { healTokens, kept, tell, signal });
      };
      if (more === undefined) return convert(parent, windows, stage, { ...child, ...told }, gpuOptions);
      const before = openSource(await place.getDirectoryHandle(more));
      await healMore(parent, before, windows, stage, { heal: child.heal!, ...told }, gpuOptions);
      const healed = openSource(await place.getDirectoryHandle(name));
      const report: unknown = await readJson(healed, REPORT_FILE, { code: 'bad-config' });
      return report as ConvertReport;
    };
    // One page at a time: two would write the same folder.
    return navigator.locks.request('shishulm-made', { ifAvailable: true }, (lock) => {
      if (!lock)
        throw new ShishuError('bad-argument', 'Another tab of this browser is converting now.', {
          mend: 'Wait until it is done, or stop it there.',
        });
      const onProgress = (done: number, total: number): unknown => tell('loading the parent', done, total);
      return withOnGpu(open(source, how), { ...gpuOptions, signal, onProgress }, (parent) =>
        run(parent).catch(async (error: unknown) => {
          throw await lossOr(parent.runner.parts.gpu, error);
        }),
      );
    });
  },
};

new Peer(self as unknown as Endpoint, methods);

// Analyses and converts in a worker: sums over tokens are made on the thread that asks, and the page must stay alive.

import { type Endpoint, Peer } from '../../src/api/rpc.ts';
import { openTransferable, type TransferableSource } from '../../src/api/transferable.ts';
import { type Analysis, analyze } from '../../src/convert/analyze.ts';
import { type ConvertOptions, convert } from '../../src/convert/convert.ts';
import { stageHandle } from '../../src/convert/handle-folder.ts';
import { checkHealing, type HealOptions } from '../../src/convert/heal-plan.ts';
import { bytesOf, type OnGpu, openOnGpu, refuseChild } from '../../src/convert/on-gpu.ts';
import type { ConvertReport } from '../../src/convert/report.ts';
import { textWindows } from '../../src/convert/text.ts';
import type { Windows } from '../../src/convert/windows.ts';
import { ShishuError } from '../../src/errors.ts';
import type { HubOptions } from '../../src/formats/hub.ts';
import { openSource } from '../../src/formats/open-source.ts';
import type { ProfileOption } from '../../src/gpu/profile.ts';
import { BEGIN } from '../../src/train/chat-format.ts';
import { chatText } from '../corpus/text.ts';
import { savedModels, savedModelsFolder } from '../saved-models.ts';

/** What to measure on: the built-in chats, the model's own words, or a text. */
export interface TextChoice {
  kind: 'chats' | 'own' | 'given';
  text: string;
  tokens: number;
  window: number;
}

/** A model that was analysed. */
export interface Analysed {
  analysis: Analysis;
  layers: number;
  hiddenSize: number;
  dtype: OnGpu['dtype'];
}

/** `total` is 0 while nothing can be counted. */
export type Tell = (what: string, done: number, total: number) => unknown;

/** Characters of a token, at most, in the built-in text. */
const TOKEN_CHARACTERS = 8;
/** Tokens of the built-in text that healing gets, at most; it passes over them more than once then. */
const MOST_CHAT_TOKENS = 200_000;

let session:
  | { parent: OnGpu; text: TextChoice; windows: Windows; analysis: Analysis; profile: ProfileOption }
  | undefined;

function close(): void {
  session?.parent.close();
  session = undefined;
}

/** The text cut up: what is fitted to and measured on, and `healTokens` more of it where there are so many. */
function cut(
  parent: OnGpu,
  { kind, text, tokens, window }: TextChoice,
  { healTokens = 0, tell, signal }: { healTokens?: number; tell: Tell; signal: AbortSignal },
): Promise<Windows> {
  const characters = TOKEN_CHARACTERS * (tokens + Math.min(healTokens, MOST_CHAT_TOKENS));
  const knowsFormat = (): boolean => parent.tokenizer.encode(BEGIN).length === 1;
  const given = kind === 'chats' ? chatText(1, characters, knowsFormat()) : text;
  return textWindows(
    parent,
    {
      ...(kind !== 'own' && { text: given }),
      tokens,
      window,
      healTokens,
      signal,
      onProgress: (done, total) => tell('The model makes a text', done, total),
    },
    () => {},
  );
}

/** @throws ShishuError as `checkHealing`, with the name of the form's field in its details */
function checkField(parent: OnGpu, windows: Windows, heal: HealOptions): void {
  try {
    checkHealing(parent.spec, windows, heal);
  } catch (cause) {
    const { code, message, details, mend } = cause as ShishuError;
    throw new ShishuError(code, message, { details: { ...details, field: 'heal' }, mend, cause });
  }
}

const methods = {
  /** Opens a parent, cuts the text up and measures every block; the parent stays open for `convert`. */
  async analyse(
    source: TransferableSource,
    text: TextChoice,
    { profile, hub }: { profile: ProfileOption; hub: HubOptions },
    tell: Tell,
    signal: AbortSignal,
  ): Promise<Analysed> {
    close();
    const parent = await openOnGpu(openSource(openTransferable(source), { cache: true, hub }), {
      profile,
      signal,
      onProgress: (done, total) => tell('Loading the parent', done, total),
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
        onProgress: (done, total) => tell('Measuring the blocks', done, total),
      });
      session = { parent, text, windows, analysis, profile };
      return { analysis, layers: spec.blocks.length, hiddenSize: spec.hiddenSize, dtype };
    } catch (error) {
      parent.close();
      throw error;
    }
  },

  /** Converts the parent that was analysed last into a folder of the browser's. */
  async convert(
    name: string,
    options: ConvertOptions,
    tell: Tell,
    signal: AbortSignal,
  ): Promise<ConvertReport> {
    const { parent, text, analysis, profile } = session!;
    let { windows } = session!;
    const { heal } = options;
    if (heal) {
      if (text.kind !== 'own') {
        const more = await cut(parent, text, { healTokens: heal.tokens, tell, signal });
        windows = { ...windows, healing: more.healing };
      }
      checkField(parent, windows, heal);
    }
    const place = await savedModelsFolder();
    if (!place)
      throw new ShishuError('io', 'This browser keeps no files for pages here.', {
        mend: 'Use a window that is not private, or shishulm convert on the command line.',
      });
    // One page at a time, so that what another one is writing does not pass for a leftover.
    return navigator.locks.request('shishulm-made', { signal }, async () => {
      await savedModels(true);
      return convert(
        parent,
        async () => windows,
        () => stageHandle(place, name),
        {
          ...options,
          order: analysis.order,
          log: (line, done = 0, total = 0) => tell(line, done, total),
          signal,
        },
        { profile },
      );
    });
  },
};

new Peer(self as unknown as Endpoint, methods);

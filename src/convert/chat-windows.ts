import { readJson } from '../formats/json.ts';
import type { Source } from '../formats/source.ts';
import { BatchStream } from '../train/batches.ts';
import { Bpe } from '../train/bpe.ts';
import { type ChatCorpus, MEASURING_SEED_OFFSET, type Split, sampleOf } from '../train/chat-corpus.ts';
import { END } from '../train/chat-format.ts';
import { countTokens, mixtureOf, SHARES, type Windows } from './windows.ts';

/** Longest window by default: the default row of `shishulm train`. */
export const TRAINED_LENGTH = 128;

/**
 * Windows of a corpus of chats, packed with whole chats as in training. Calibration and healing get chats of the training
 * split that training with this seed does not draw; choosing and test get held-out ones.
 * @param source a folder whose tokenizer knows the chat format
 * @param healing tokens for healing, at least
 */
export async function chatWindows(
  source: Source,
  corpus: ChatCorpus,
  options: {
    tokens: number;
    healing: number;
    length: number;
    seed: number;
    signal?: AbortSignal | undefined;
  },
): Promise<Windows> {
  const { tokens, healing, length, seed, signal } = options;
  const bpe = Bpe.fromJson(await readJson(source, 'tokenizer.json', { code: 'bad-tokenizer' }, signal));
  const streamOf = (split: Split): BatchStream =>
    new BatchStream((i) => sampleOf(bpe, corpus.chatAt(seed + MEASURING_SEED_OFFSET, i, split)), {
      rows: 1,
      length: length - 1,
      pad: bpe.id(END),
    });
  const draw = (stream: BatchStream, least: number): number[][] => {
    const windows: number[][] = [];
    for (let count = 0; count < least || windows.length === 0; count += windows.at(-1)!.length) {
      const { tokens, targets, count: n } = stream.next();
      windows.push([tokens[0]!, ...targets.subarray(0, n - 1)]);
    }
    return windows;
  };
  const seen = streamOf('train');
  const heldOut = streamOf('held-out');
  const calibration = draw(seen, tokens * SHARES.calibration);
  return {
    calibration,
    choosing: draw(heldOut, tokens * SHARES.choosing),
    test: draw(heldOut, tokens * SHARES.test),
    healing: mixtureOf([...calibration, ...draw(seen, healing - countTokens(calibration))]),
  };
}

import { ShishuError } from '../errors.ts';
import type { TrainingData } from './batches.ts';
import { BEGIN } from './chat-format.ts';
import { hashOf } from './random.ts';

/**
 * The paragraphs of a text file (blocks between blank lines).
 * @throws ShishuError `bad-argument` when it is empty or not UTF-8 text
 */
export function paragraphsOf(file: string, bytes: Uint8Array): string[] {
  const refuse = (what: string): never => {
    throw new ShishuError('bad-argument', `The corpus file ${file} ${what}.`, {
      details: { file },
      mend: 'Give a UTF-8 text file; blank lines part its texts.',
    });
  };
  let text = '';
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    refuse('is not UTF-8 text');
  }
  if (text.includes('\0')) refuse('holds zero bytes and is no text');
  const paragraphs = text.split(/\r?\n\s*\n/).flatMap((block) => block.trim() || []);
  return paragraphs.length > 0 ? paragraphs : refuse('is empty');
}

/**
 * Paragraphs in an endless seeded order as training data.
 * @param length tokens of a row; of a longer paragraph a window of `length + 1` is taken at random
 */
export const textData = (paragraphs: readonly string[], seed: number, length: number): TrainingData => ({
  texts: () => paragraphs,
  training: (bpe) => {
    // A file without blank lines is one paragraph, of which every sample is a window.
    const encoded: number[][] = [];
    return (index) => {
      const hash = hashOf(`${seed}/${index}`);
      const at = hash % paragraphs.length;
      encoded[at] ??= bpe.encode(BEGIN + paragraphs[at]);
      const ids = encoded[at];
      const from = ids.length > length ? hashOf(`window/${hash}`) % (ids.length - length) : 0;
      const window = ids.slice(from, from + length + 1);
      return { ids: window, weights: window.map(() => 1) };
    };
  },
});

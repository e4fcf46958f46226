import { ShishuError } from '../errors.ts';
import type { Sample, Source } from './batches.ts';
import type { Bpe } from './bpe.ts';
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
  const paragraphs = text.split(/\r?\n\s*\n/).flatMap((part) => part.trim() || []);
  return paragraphs.length > 0 ? paragraphs : refuse('is empty');
}

/** Paragraphs in an endless seeded order; those longer than `length` are cut to a window at random. */
export function textSource(bpe: Bpe, paragraphs: readonly string[], seed: number, length: number): Source {
  return (index): Sample => {
    const hash = hashOf(`${seed}/${index}`);
    const ids = bpe.encode(BEGIN + paragraphs[hash % paragraphs.length]);
    const from = ids.length > length ? hashOf(`window/${hash}`) % (ids.length - length) : 0;
    const window = ids.slice(from, from + length + 1);
    return { ids: window, weights: window.map(() => 1) };
  };
}

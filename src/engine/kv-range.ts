import { ShishuError } from '../errors.ts';
import { readBuffer } from '../gpu/buffer.ts';
import type { ForwardParts } from '../model/forward.ts';

/** Bytes of what shaders/shared/kv_write_f16.wgsl notes of a sequence at the end of q: a kind and a size, f32 each. */
const NOTE_BYTES = 8;
const KINDS = ['', 'key', 'value'] as const;

type Parts = Pick<ForwardParts, 'gpu' | 'kv' | 'scratch'>;

/** Bytes of the notes of all sequences. */
export const notesBytes = ({ kv }: Pick<Parts, 'kv'>): number => NOTE_BYTES * kv.sequences;

/** Where the notes are: byte offset in q. */
export const notesAt = (parts: Parts): number => parts.scratch.q.size - notesBytes(parts);

/** Whether keys and values can be past what the cache holds. */
export const isNarrow = ({ kv }: Pick<Parts, 'kv'>): boolean => kv.dtype === 'f16';

/** Forgets what was noted of a sequence: what it runs next is another text. */
export function clearNote(parts: Parts, sequence: number): void {
  if (isNarrow(parts))
    parts.gpu.device.queue.writeBuffer(
      parts.scratch.q,
      notesAt(parts) + NOTE_BYTES * sequence,
      new Float32Array(2),
    );
}

/** What the notes `(sequences, 2)` say of a sequence; undefined where all its keys and values were in range. */
export function overflowOf(notes: Float32Array, sequence: number): ShishuError | undefined {
  const [kind = 0, size = 0] = notes.subarray(2 * sequence);
  if (kind === 0) return undefined;
  const what = KINDS[kind] ?? 'value';
  return new ShishuError('unsupported', `A ${what} is ${size}, the KV cache as f16 holds up to 65504.`, {
    details: { what, value: String(size), kv: 'f16' },
    mend: "Load the model with kv: 'f32'.",
  });
}

/** Reads what was noted of a sequence. */
export async function readOverflow(parts: Parts, sequence: number): Promise<ShishuError | undefined> {
  if (!isNarrow(parts)) return undefined;
  const { gpu, scratch } = parts;
  const notes = await readBuffer(gpu, scratch.q, notesAt(parts), notesBytes(parts));
  return overflowOf(new Float32Array(notes), sequence);
}

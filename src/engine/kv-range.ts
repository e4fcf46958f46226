import { ShishuError } from '../errors.ts';
import { readBuffer } from '../gpu/buffer.ts';
import type { ForwardParts } from '../model/forward.ts';

/** Bytes that shaders/shared/kv_write_f16.wgsl notes at the end of q: a kind and a size, f32 each. */
export const NOTE_BYTES = 8;
const KINDS = ['', 'key', 'value'] as const;

type Parts = Pick<ForwardParts, 'gpu' | 'kv' | 'scratch'>;

/** Where the note is: byte offset in q. */
export const noteAt = ({ scratch }: Parts): number => scratch.q.size - NOTE_BYTES;

/** Whether keys and values can be past what the cache holds. */
export const isNarrow = ({ kv }: Parts): boolean => kv.dtype === 'f16';

/** Forgets what was noted: what runs next is another text. */
export function clearNote(parts: Parts): void {
  if (isNarrow(parts))
    parts.gpu.device.queue.writeBuffer(parts.scratch.q, noteAt(parts), new Float32Array(2));
}

/** What a note means; undefined where all keys and values were in range. */
export function overflowOf([kind = 0, size = 0]: Float32Array): ShishuError | undefined {
  if (kind === 0) return undefined;
  const what = KINDS[kind] ?? 'value';
  return new ShishuError('unsupported', `A ${what} is ${size}, the KV cache as f16 holds up to 65504.`, {
    details: { what, value: String(size), kv: 'f16' },
    mend: "Load the model with kv: 'f32'.",
  });
}

/** Reads the note. */
export async function readOverflow(parts: Parts): Promise<ShishuError | undefined> {
  if (!isNarrow(parts)) return undefined;
  return overflowOf(
    new Float32Array(await readBuffer(parts.gpu, parts.scratch.q, noteAt(parts), NOTE_BYTES)),
  );
}

// Conversions that were begun: what is needed to go on with them after a reload.
import { openTable } from '../../src/formats/database.ts';
import type { SourceLike } from '../../src/formats/open-source.ts';
import type { Request } from './request.ts';

export interface Begun {
  request: Request;
  /** The parent; left out where files of it were chosen, which no page may read again unasked. */
  source?: string | FileSystemDirectoryHandle;
  /** Milliseconds since 1970. */
  begun: number;
}

const TABLE = openTable('shishulm-conversions', 'begun');
const KEY = 'list';

export async function begunConversions(): Promise<Begun[]> {
  const list = await TABLE.get(KEY).catch(() => undefined);
  return Array.isArray(list) ? (list as Begun[]) : [];
}

/** What of a parent can be kept. */
export function keepable(source: SourceLike): Begun['source'] {
  if (typeof source === 'string') return source;
  return 'getFileHandle' in source ? source : undefined;
}

export async function keepBegun(begun: Begun): Promise<void> {
  const others = (await begunConversions()).filter(({ request }) => request.name !== begun.request.name);
  // Where the browser keeps nothing, a reload cannot go on; the conversion itself can.
  await TABLE.put(KEY, [begun, ...others]).catch(() => {});
}

export async function forgetBegun(name: string): Promise<void> {
  const list = await begunConversions();
  await TABLE.put(
    KEY,
    list.filter(({ request }) => request.name !== name),
  ).catch(() => {});
}

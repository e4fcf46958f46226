// Whose the pieces of an answer are: those of the network are freed once they are copied, those of a program never.
import { expect, test } from 'vitest';
import { rawHttp } from '../../src/formats/http.ts';

type Pieces = Uint8Array<ArrayBuffer>[];

/** Reads bytes 0 to 12 that come in these pieces; says which buffers were freed, and what was read. */
async function read(pieces: Pieces, type: ResponseType): Promise<{ freed: boolean[]; bytes: number[] }> {
  const freed = pieces.map(() => false);
  for (const [i, { buffer }] of pieces.entries())
    Object.assign(buffer, {
      transfer() {
        freed[i] = true;
      },
    });
  const fetch = async (): Promise<Response> => {
    const body = new ReadableStream({
      start(controller) {
        for (const piece of pieces) controller.enqueue(piece);
        controller.close();
      },
    });
    const response = new Response(body, { status: 206, headers: { 'Content-Range': 'bytes 0-11/12' } });
    return Object.defineProperty(response, 'type', { value: type });
  };
  const bytes = await rawHttp('http://localhost/folder/', { fetch }).read('file', 0, 12);
  return { freed, bytes: [...bytes!] };
}

const twelve = Array.from({ length: 12 }, (_, i) => i + 1);
const whole = (from: number, to: number): Uint8Array<ArrayBuffer> => Uint8Array.from(twelve.slice(from, to));

test('pieces that the network brought are freed', async () => {
  for (const type of ['basic', 'cors'] as const)
    expect(await read([whole(0, 5), whole(5, 12)], type)).toEqual({ freed: [true, true], bytes: twelve });
});

test('pieces of an answer that a program made are left to it', async () => {
  expect(await read([whole(0, 5), whole(5, 12)], 'default')).toEqual({
    freed: [false, false],
    bytes: twelve,
  });
});

test('a piece that is part of a larger buffer is left alone', async () => {
  const larger = Uint8Array.from([0, ...twelve.slice(5)]).subarray(1);
  expect(await read([whole(0, 5), larger], 'basic')).toEqual({ freed: [true, false], bytes: twelve });
});

test('spans of a stream lie in one buffer, which is freed behind the last', async () => {
  const bodies = [whole(0, 1), whole(1, 6), whole(6, 12)];
  const fetch = async (): Promise<Response> =>
    new Response(new Blob(bodies), { status: 206, headers: { 'Content-Range': 'bytes 0-11/12' } });
  const freed = new Set<ArrayBuffer>();
  const spans: number[][] = [];
  const buffers = new Set<ArrayBuffer>();
  const use = (bytes: Uint8Array<ArrayBuffer>): void => {
    expect(freed.size).toBe(0);
    spans.push([...bytes]);
    buffers.add(bytes.buffer);
    const transfer = (): void => void freed.add(bytes.buffer);
    Object.assign(bytes.buffer, { transfer });
  };
  const folder = rawHttp('http://localhost/folder/', { fetch });
  expect(await folder.readSpans('file', [0, 2, 2, 9, 12], use)).toBe(true);
  expect(spans).toEqual([twelve.slice(0, 2), [], twelve.slice(2, 9), twelve.slice(9)]);
  expect(buffers.size).toBe(1);
  expect(freed).toEqual(buffers);
});

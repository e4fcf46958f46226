// Who wants places waits for those who came before, and may give up.
import { expect, test } from 'vitest';
import { Places } from '../../src/engine/places.ts';

/** Enters and notes when. */
function entering(places: Places, order: string[]) {
  return (name: string, count?: number, signal?: AbortSignal) =>
    places.enter(count, signal).then((leave) => {
      order.push(name);
      return leave;
    });
}

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

test('places go round in the order of those who ask; one who wants many is not overtaken', async () => {
  const places = new Places(2);
  const order: string[] = [];
  const enter = entering(places, order);
  const [a, b] = [await enter('a', 1), await enter('b', 1)];
  const all = enter('all');
  const last = enter('last', 1);
  b();
  await settled();
  expect(order).toEqual(['a', 'b']);
  a();
  const leave = await all;
  await settled();
  expect(order).toEqual(['a', 'b', 'all']);
  leave(1);
  await last;
  expect(order).toEqual(['a', 'b', 'all', 'last']);
});

test('one who gives up lets the next in', async () => {
  const places = new Places(2);
  const order: string[] = [];
  const enter = entering(places, order);
  await enter('a', 1);
  const abort = new AbortController();
  const many = enter('many', 2, abort.signal);
  const next = enter('next', 1);
  abort.abort();
  await expect(many).rejects.toMatchObject({ code: 'aborted' });
  await next;
  expect(order).toEqual(['a', 'next']);
  await expect(enter('late', 1, abort.signal)).rejects.toMatchObject({ code: 'aborted' });
});

test('who is let in and aborted in one moment loses no place', async () => {
  const places = new Places(1);
  const abort = new AbortController();
  const first = places.enter(1, abort.signal);
  abort.abort();
  (await first)();
  const leave = await places.enter();
  const late = new AbortController();
  const next = places.enter(1, late.signal);
  leave();
  late.abort();
  (await next)();
  await places.enter();
});

test('a signal that outlives many keeps none of them', async () => {
  const places = new Places(1);
  const { signal } = new AbortController();
  const listeners = new Set<unknown>();
  for (const name of ['addEventListener', 'removeEventListener'] as const) {
    const own = signal[name].bind(signal) as typeof signal.addEventListener;
    signal[name] = (type: string, listener: EventListener) => {
      if (name === 'addEventListener') listeners.add(listener);
      else listeners.delete(listener);
      own(type, listener);
    };
  }
  for (let i = 0; i < 3; i++) (await places.enter(1, signal))();
  expect(listeners.size).toBe(0);
});

test('closed, it holds nobody', async () => {
  const places = new Places(1);
  await places.enter();
  const waiting = places.enter();
  places.close();
  await waiting;
  await places.enter();
});

test('who can wait comes when nobody else is there or waits', async () => {
  const places = new Places(2);
  const order: string[] = [];
  const enter = entering(places, order);
  await places.idle();
  const a = await enter('a', 1);
  const late = places.idle().then(() => order.push('idle'));
  const all = enter('all');
  const b = enter('b', 1);
  a();
  (await all)();
  const leave = await b;
  expect(order).toEqual(['a', 'all', 'b']);
  leave();
  await late;
  expect(order).toEqual(['a', 'all', 'b', 'idle']);
  // Whoever was before goes first, also where both are told at once.
  const first = await enter('first', 2);
  const again = places.idle().then(() => order.push('idle'));
  first();
  const second = await enter('second', 2);
  await settled();
  expect(order.slice(4)).toEqual(['first', 'second']);
  second();
  await again;
  await places.enter();
  places.close();
  await places.idle();
});

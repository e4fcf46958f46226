// What a prefix cache says that rings still hold, against rings that are written.
import { expect, test } from 'vitest';
import { PrefixCache } from '../../src/engine/prefix-cache.ts';
import { kvBytes, kvCapacity, type Plan } from '../../src/model/spec.ts';
import { mulberry32 } from '../support/random.ts';
import { tinyModel } from '../support/tiny-models.ts';

const PLAN: Plan = [0, 1].map((layer) => ({ kind: 'attention', layer, mlp: layer }));

test.each([
  { window: 2, capacity: 3 },
  { window: 5, capacity: 6 },
  { window: 6, capacity: 11 },
  { window: 3, capacity: 19 },
])('a window of $window in a ring of $capacity: as much as is there, and no more', ({ window, capacity }) => {
  const random = mulberry32(capacity);
  const below = (most: number): number => Math.floor(random() * most);
  const rings = new Map([[1, { window, capacity }]]);
  const slots = [0, 1].map(() => ({ prefix: new PrefixCache(), ring: [] as string[], text: [] as number[] }));
  let [reused, lost] = [0, 0];
  for (let i = 0; i < 4000; i++) {
    const slot = slots[below(2)]!;
    if (below(8) === 0) {
      const other = slots.find((one) => one !== slot)!;
      Object.assign(other, { prefix: slot.prefix.copy(), ring: [...slot.ring], text: [...slot.text] });
    }
    // The same text as far as some token, often one of the last, and others behind it.
    const same = below(5) === 0 ? below(slot.text.length + 1) : Math.max(0, slot.text.length - below(12));
    const tokens = [...slot.text.slice(0, same), ...Array.from({ length: 1 + below(14) }, () => below(4))];
    const upTo = (position: number): string => tokens.slice(0, position + 1).join();
    const { prefix, ring } = slot;
    const most = prefix.reusable(tokens, PLAN);
    const seen = Array.from({ length: most }, (_, position) => position).slice(Math.max(0, most + 1 - window));
    const there = seen.every((position) => ring[position % capacity] === upTo(position));
    const start = prefix.reusable(tokens, PLAN, rings);
    expect(start).toBe(there ? most : 0);
    if (there && most > 0) reused++;
    if (!there) lost++;
    prefix.truncate(start);
    const end = start + 1 + below(tokens.length - start);
    // Up to two steps that nobody waited for.
    const thrown = end + below(3);
    for (let position = start; position < thrown; position++) ring[position % capacity] = upTo(position);
    prefix.append(tokens.slice(start, end), PLAN);
    prefix.wrote(thrown);
    slot.text = tokens.slice(0, end);
  }
  expect(reused).toBeGreaterThan(500);
  expect(lost).toBeGreaterThan(50);
});

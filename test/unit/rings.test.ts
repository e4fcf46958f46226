// What a prefix cache says that rings still hold, against rings that are written.
import { expect, test } from 'vitest';
import { PrefixCache } from '../../src/engine/prefix-cache.ts';
import { specOf } from '../../src/families/index.ts';
import { type AttentionMixer, kvBytes, kvCapacity, type Plan, planOf } from '../../src/model/spec.ts';
import { mulberry32 } from '../support/random.ts';

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
    const seen = Array.from({ length: most }, (_, position) => position).slice(
      Math.max(0, most + 1 - window),
    );
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

test.each([
  [
    'Gemma 3 270M',
    { model_type: 'gemma3_text', hidden_size: 640, intermediate_size: 2048, num_hidden_layers: 18 },
    { num_attention_heads: 4, num_key_value_heads: 1, head_dim: 256, sliding_window: 512 },
    [4096, 75.5, 24.4],
  ],
  [
    'Gemma 3 1B',
    { model_type: 'gemma3_text', hidden_size: 1152, intermediate_size: 6912, num_hidden_layers: 26 },
    { num_attention_heads: 4, num_key_value_heads: 1, head_dim: 256, sliding_window: 512 },
    [32_768, 872.4, 151.5],
  ],
  [
    'Mistral 7B v0.1',
    { model_type: 'mistral', hidden_size: 4096, intermediate_size: 14336, num_hidden_layers: 32 },
    { num_attention_heads: 32, num_key_value_heads: 8, sliding_window: 4096 },
    [32_768, 4295.0, 570.4],
  ],
])('KV bytes of %s are those that docs/models.md tells', (_, size, heads, [context, whole, rings]) => {
  const spec = specOf({ ...size, ...heads, vocab_size: 32_000, max_position_embeddings: 32_768 });
  const held = (room: (mixer: AttentionMixer) => number): number =>
    kvBytes(spec, planOf(spec), 2, room) / 1e6;
  expect(held(() => context!)).toBeCloseTo(whole!, 1);
  expect(held((mixer) => kvCapacity(mixer, { context: context!, rows: 256 }))).toBeCloseTo(rings!, 1);
  // A context that the window and a chunk fill has no ring.
  expect(held((mixer) => kvCapacity(mixer, { context: 700, rows: 256 }))).toBe(held(() => 700));
});

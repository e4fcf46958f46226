import { expect, test } from 'vitest';
import { type RecallList, recallLists, recallOf } from '../../src/convert/recall.ts';
import { layersOf, layersText, riseOf } from '../../src/convert/target.ts';
import { clock, timeLeft } from '../../src/convert/time-left.ts';

/** A token a word, or a letter a token. */
const byWord = (text: string): number[] =>
  text.match(/ \w+|\n/g)!.map((word) => (word === '\n' ? 10 : word.length * 100 + word.charCodeAt(1)));
const byLetter = (text: string): number[] => Array.from(text, (letter) => letter.charCodeAt(0));

test('lists of words come twice, none like another, and fit the window', () => {
  const lists = recallLists(byWord, { begin: 7, most: 128, lists: 3 });
  expect(lists).toHaveLength(3);
  expect(new Set(lists.map(({ ids }) => ids.join())).size).toBe(3);
  for (const { ids, second } of lists) {
    expect(ids[0]).toBe(7);
    expect(ids).toHaveLength(1 + 28 + 1 + 28);
    expect(ids[29]).toBe(10);
    expect(ids.slice(1, 29)).toEqual(ids.slice(30));
    // Nothing tells which word is the first.
    expect(second).toBe(31);
  }
  for (const { ids, second } of recallLists(byLetter, { begin: undefined, most: 96 })) {
    expect(ids.length).toBeLessThanOrEqual(96);
    const half = (ids.length - 1) / 2;
    expect(ids.slice(0, half)).toEqual(ids.slice(half + 1));
    expect(ids[second]).toBe(32);
  }
  expect(recallLists(byLetter, { begin: undefined, most: 20 })).toEqual([]);
  expect(recallLists(() => [], { begin: undefined, most: 96 })).toEqual([]);
});

test('recall is of what follows the first word of the second time', () => {
  const list: RecallList = { ids: [1, 2, 3, 1, 2, 3], second: 4 };
  const scores = {
    logprobs: Float32Array.of(-9, -9, -9, -0.5, -1.5, -9),
    top1: Uint32Array.of(0, 0, 0, 2, 9, 0),
  };
  expect(recallOf([list], [scores])).toEqual({ nats: 1, accuracy: 0.5, tokens: 2 });
});

test('layers as a list of numbers and ranges are what they are read as', () => {
  for (const layers of [[0], [1, 2, 3], [0, 2, 3, 7, 9, 10]])
    expect(layersOf(layersText(layers))).toEqual(layers);
  expect(layersText([0, 2, 3, 4, 7])).toBe('0,2-4,7');
});

test('a rise is a percentage above 0', () => {
  expect(riseOf('+5%')).toBe(0.05);
  expect(riseOf('7.5')).toBe(0.075);
  for (const text of ['0', '-5%', 'five', ''])
    expect(() => riseOf(text)).toThrow(expect.objectContaining({ code: 'bad-argument' }));
});

test('time is told at the beginning, at the end, and every few seconds between', () => {
  let now = 0;
  const lines: string[] = [];
  const told = timeLeft(
    (line) => lines.push(line),
    'choosing',
    900,
    () => now,
  );
  expect(lines).toEqual(['choosing: 0 %, 0:00, 900 tokens']);
  for (let at = 1; at <= 100; at++) {
    now += 130;
    told(at, 100);
  }
  expect(lines).toEqual([
    'choosing: 0 %, 0:00, 900 tokens',
    'choosing: 39 %, 0:05, about 0:08 left',
    'choosing: 78 %, 0:10, about 0:03 left',
    'choosing: 100 %, 0:13',
  ]);
  expect([5, 65, 3600, 3725].map(clock)).toEqual(['0:05', '1:05', '1:00:00', '1:02:05']);
});

// Features are fetched when first used; one that could not be is asked for again at the next call.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { chatOf } from '../../src/api/chat.ts';
import { once } from '../../src/engine/sampler.ts';
import { lazy } from '../../src/lazy.ts';

const blip = vi.hoisted(() => ({ chat: true }));
vi.mock('../../src/api/openai.ts', async (original) => {
  const real = await original<typeof import('../../src/api/openai.ts')>();
  return {
    get chatCompletions() {
      if (!blip.chat) return real.chatCompletions;
      blip.chat = false;
      throw new TypeError('Failed to fetch dynamically imported module');
    },
  };
});

it('a value whose modules could not be fetched is created at the next call, and kept from then on', async () => {
  let calls = 0;
  const kept = lazy(async () => {
    if (++calls === 1) throw new TypeError('Failed to fetch dynamically imported module');
    return { calls };
  });
  await expect(kept()).rejects.toMatchObject({ code: 'io' });
  const made = await kept();
  expect(await kept()).toBe(made);
  expect(calls).toBe(2);
});

it('two calls at once fetch once', async () => {
  let calls = 0;
  const kept = lazy(async () => ++calls);
  expect(await Promise.all([kept(), kept()])).toEqual([1, 1]);
});

it('a way to choose tokens that could not be made is made at the next call', async () => {
  const made = new Map<string, Promise<number>>();
  await expect(once(made, 'a', () => Promise.reject(new Error('blip')))).rejects.toThrow('blip');
  expect(await once(made, 'a', async () => 5)).toBe(5);
  expect(await once(made, 'a', async () => 6)).toBe(5);
});

it('a chat works after a blip', async () => {
  async function* generate() {
    yield { text: 'hi', tokenId: 1 };
    const usage = { promptTokens: 1, completionTokens: 1, totalTokens: 2, cachedTokens: 0 };
    return { text: 'hi', finishReason: 'stop', usage } as never;
  }
  const { completions } = chatOf({ generate, decode: () => 'hi' } as never);
  const request = { messages: [{ role: 'user' as const, content: 'x' }] };
  await expect(completions.create(request)).rejects.toMatchObject({ code: 'io' });
  expect((await completions.create(request)).choices[0]?.message.content).toBe('hi');
});

it('no file of the engine keeps the promise of a fetch by itself', () => {
  const src = join(import.meta.dirname, '../../src');
  const folders = ['api', 'engine', 'formats', 'grammar', 'gpu', 'kernels', 'model'];
  const files = folders.flatMap((folder) =>
    readdirSync(join(src, folder), { encoding: 'utf8', recursive: true })
      .filter((file) => file.endsWith('.ts'))
      .map((file) => join(src, folder, file)),
  );
  for (const file of files) {
    const text = readFileSync(file, 'utf8');
    expect(`${file} ${text.match(/\?\?= (importModule|import)\(/g) ?? ''}`).toBe(`${file} `);
    for (const { index } of text.matchAll(/\bimport\(/g))
      expect(text.slice(Math.max(0, index - 140), index)).toMatch(/importModule\(|lazy\(async/);
  }
});

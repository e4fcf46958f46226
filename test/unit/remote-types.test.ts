// `tsc` is the judge: a model in a worker has every member of a model in the page, with its arguments and its answers.
import { expectTypeOf, test } from 'vitest';
import type { Model, RemoteModel } from '../../src/index.ts';

/** A method whose answer comes from elsewhere: a promise, unless it is a stream. */
type Remote<T> = T extends (...args: infer A) => infer R
  ? (...args: A) => R extends AsyncGenerator | Promise<unknown> ? R : Promise<R>
  : T;
type Expected<M> = { [K in keyof M]: Remote<M[K]> };
type Own = Omit<RemoteModel, 'chat'>;

test('a model in a worker has all of Model, and nothing else', () => {
  expectTypeOf<keyof Own>().toEqualTypeOf<keyof Model>();
  expectTypeOf<Own>().toExtend<Expected<Model>>();
  // Nor does it ask for more or less than the methods do.
  expectTypeOf<{
    [K in keyof Own]: Own[K] extends (...args: infer A) => unknown ? A : never;
  }>().toEqualTypeOf<{
    [K in keyof Model]: Model[K] extends (...args: infer A) => unknown ? A : never;
  }>();
  // The check can fail.
  expectTypeOf<Omit<Own, 'setModes'>>().not.toExtend<Expected<Model>>();
  expectTypeOf<Own>().not.toExtend<Expected<{ score(text: string): Promise<number> }>>();
});

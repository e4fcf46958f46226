// `tsc` is the judge: the model in the page and the one in a worker have the members of one interface, by one table.
import { expect, expectTypeOf, test } from 'vitest';
import { type Carried, dataOf, MEMBERS, type MemberTable, type ModelData } from '../../src/api/model.ts';
import type { LocalModel } from '../../src/engine/model.ts';
import type { EngineModel } from '../../src/engine/model-interface.ts';
import type { Model } from '../../src/index.ts';

/** The arguments of every method. */
type Arguments<Of> = { [Name in keyof Of]: Of[Name] extends (...args: infer Args) => unknown ? Args : never };

test('a model in the page has all of the interface, and nothing else', () => {
  expectTypeOf<keyof LocalModel>().toEqualTypeOf<keyof EngineModel>();
  expectTypeOf<LocalModel>().toExtend<EngineModel>();
  // Nor does it ask for more or less than the interface does.
  expectTypeOf<Arguments<LocalModel>>().toEqualTypeOf<Arguments<EngineModel>>();
  expectTypeOf<keyof Model>().toEqualTypeOf<keyof EngineModel | 'chat' | 'embeddings'>();
});

test('the table has a row for each member, of its kind', () => {
  expectTypeOf(MEMBERS).toExtend<MemberTable<Carried>>();
  expectTypeOf<keyof typeof MEMBERS>().toEqualTypeOf<Exclude<keyof EngineModel, 'reload' | 'dispose'>>();
  // A member more has no row.
  expectTypeOf(MEMBERS).not.toExtend<MemberTable<Carried & { count(): Promise<number> }>>();
  expectTypeOf<{ kind: 'call' }>().toExtend<MemberTable<Carried>['encode']>();
  expectTypeOf<{ kind: 'stream' }>().not.toExtend<MemberTable<Carried>['encode']>();
  expectTypeOf<{ kind: 'call' }>().not.toExtend<MemberTable<Carried>['generate']>();
  expectTypeOf<{ kind: 'call' }>().not.toExtend<MemberTable<Carried>['info']>();
  // A method that returns at once can have none.
  expectTypeOf<MemberTable<{ count(): number }>['count']>().toBeNever();
});

test('what is no method goes over as data', () => {
  expectTypeOf<keyof ModelData>().toEqualTypeOf<
    'info' | 'hasChatTemplate' | 'toolFormat' | 'thoughtTags' | 'templateVariables'
  >();
  const data = {
    info: {},
    hasChatTemplate: true,
    toolFormat: 'hermes',
    thoughtTags: [],
    templateVariables: [],
  };
  expect(dataOf({ ...data, reset: () => Promise.resolve() } as unknown as EngineModel)).toEqual(data);
});

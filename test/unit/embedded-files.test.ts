// The files beside the embedded models' weights, which no loader checks before a page is built.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { specOf } from '../../src/families/index.ts';
import { planOf } from '../../src/model/spec.ts';

const MODELS = join(import.meta.dirname, '../../demo/public/models');
const read = (...path: string[]) => JSON.parse(readFileSync(join(MODELS, ...path), 'utf8'));
const rows: { id: string; url: string; analysed?: boolean }[] = read('models.json');

it('models.json says which models have an analysis', () => {
  expect(rows.map(({ id }) => id).sort()).toEqual(['child', 'parent']);
  for (const { url, analysed = false } of rows)
    expect([url, analysed]).toEqual([url, existsSync(join(MODELS, url, 'analysis.json'))]);
});

it.each(rows.filter(({ analysed }) => analysed))(
  'the order of $id has each attention block once',
  ({ url }) => {
    const attending = planOf(specOf(read(url, 'config.json'))).flatMap(({ kind, layer }) =>
      kind === 'attention' ? [layer] : [],
    );
    const { skip, linear } = read(url, 'analysis.json').order;
    for (const order of [skip, linear])
      expect([...order].sort((a: number, b: number) => a - b)).toEqual(attending);
  },
);

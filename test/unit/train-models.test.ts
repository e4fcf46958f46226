import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { specOf } from '../../src/families/index.ts';
import { Bpe } from '../../src/train/bpe.ts';
import { readModelFolder } from '../../src/train/checkpoints.ts';

const MODELS = join(import.meta.dirname, '../../demo/public/models');
/** A model's files, field by field. */
type Side = Record<'spec' | 'training' | 'tokenizer', Record<string, unknown>>;

const json = (...path: string[]) => JSON.parse(readFileSync(join(MODELS, ...path), 'utf8'));

const side = (name: string): Side => ({
  spec: { ...specOf(json(name, 'config.json')) },
  training: json(name, 'training.json'),
  tokenizer: json(name, 'tokenizer.json'),
});

describe('the embedded models', () => {
  it('are under 8 MB together', () => {
    const files = readdirSync(MODELS, { recursive: true }) as string[];
    const bytes = files.reduce((sum, file) => sum + statSync(join(MODELS, file)).size, 0);
    expect(bytes).toBeLessThan(8e6);
  });

  it('are listed for the chat page, the child first, each with an honest line and openers', () => {
    const list = json('models.json');
    expect(list.map(({ id }: { id: string }) => id)).toEqual(['child', 'parent']);
    for (const { id, url, description, openers } of list) {
      expect(url).toBe(`${id}/`);
      expect(description).toMatch(/small|limited/);
      expect(openers).toHaveLength(3);
    }
  });

  it('differ in architecture alone: same sizes, same tokenizer, same tokens of training', () => {
    const [parent, child] = [side('parent'), side('child')];
    const differing = Object.keys(parent.spec).filter(
      (field) => JSON.stringify(parent.spec[field]) !== JSON.stringify(child.spec[field]),
    );
    expect(differing.sort()).toEqual(['blocks', 'modelType']);
    expect(child.tokenizer).toEqual(parent.tokenizer);
    for (const field of ['seed', 'rows', 'length', 'schedule', 'step', 'tokens', 'corpus'])
      expect(child.training[field]).toEqual(parent.training[field]);
  });

  it.each(['parent', 'child'])(
    '%s: weights are finite and the tokenizer is no larger than the embedding',
    async (name) => {
      const { spec, weights } = await readModelFolder(join(MODELS, name));
      for (const { data } of Object.values(weights)) expect(data.every(Number.isFinite)).toBe(true);
      expect(Bpe.fromJson(json(name, 'tokenizer.json')).tokens.length).toBeLessThanOrEqual(spec.vocabSize);
    },
  );
});

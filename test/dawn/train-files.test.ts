import { readdir, readFile, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { train } from '../../src/train/session.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { errorOf, trainFolder } from '../support/train-folder.ts';

// Those of the other tests of training: a software adapter takes some seconds to compile what others have.
const sizes = {
  hidden_size: 48,
  intermediate_size: 96,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 512,
  tie_word_embeddings: true,
  bos_token_id: 0,
  eos_token_id: 3,
};
const { configs: CONFIGS, at, request } = trainFolder(sizes, { rows: 4, length: 96 });

const gpu = await openTestGpu({ profile: 'software' });

const training = async (...parts: string[]) =>
  JSON.parse(await readFile(at(...parts, 'training.json'), 'utf8'));

describe('a training run', () => {
  it('writes what it made, and goes on after a stop to the very same weights', async () => {
    await train(gpu, request('whole'));
    for (const name of ['parent', 'child'])
      expect((await readdir(at('whole', name))).sort()).toEqual([
        'config.json',
        'generation_config.json',
        'model.safetensors',
        'tokenizer.json',
        'tokenizer_config.json',
        'training.json',
      ]);
    const stop = new AbortController();
    const lines: string[] = [];
    const log = (line: string): void => {
      lines.push(line);
      if (lines.length === 2) stop.abort();
    };
    await train(gpu, request('broken', { log, signal: stop.signal }));
    expect(lines.at(-1)).toContain('goes on from here');
    expect((await training('broken', 'child')).step).toBeLessThan(6);
    await train(gpu, request('broken'));
    for (const name of ['parent', 'child']) {
      const [whole, broken] = [await training('whole', name), await training('broken', name)];
      expect(broken).toEqual({ ...whole, seconds: broken.seconds });
      expect(await readFile(at('broken', name, 'model.safetensors'))).toEqual(
        await readFile(at('whole', name, 'model.safetensors')),
      );
    }
  });

  it('begins a child with its parent, and distils it', async () => {
    const teacher = at('whole', 'parent');
    await train(gpu, request('taught', { configs: [at('child.json')], from: teacher, teacher }));
    expect(await training('taught')).toMatchObject({ step: 6, teacher, mix: 0.5 });
  });

  it('refuses the checkpoint of another run by what differs', async () => {
    const swapped = await errorOf(() => train(gpu, request('whole', { configs: [at('child.json')] })));
    expect(swapped.message).toMatch(/it holds parent, child, not child/);
    expect((await errorOf(() => train(gpu, request('whole', { seed: 2 })))).message).toMatch(
      /seed is 1, asked for 2/,
    );
    await writeFile(at('child2.json'), JSON.stringify({ ...CONFIGS.child, num_mlp_shared: 0 }));
    await train(gpu, request('one', { configs: [at('child.json')] }));
    await writeFile(at('kept.json'), await readFile(at('child.json')));
    await writeFile(at('child.json'), await readFile(at('child2.json')));
    const other = await errorOf(() => train(gpu, request('one', { configs: [at('child.json')] })));
    await writeFile(at('child.json'), await readFile(at('kept.json')));
    expect(other.code).toBe('bad-checkpoint');
    expect(other.message).toMatch(/num_mlp_shared of child is 1, asked for 0/);
  });

  it('refuses a --from of other sizes by tensor', async () => {
    await writeFile(at('wide.json'), JSON.stringify({ ...CONFIGS.child, intermediate_size: 64 }));
    const wide = request('wide', { configs: [at('wide.json')], from: at('whole', 'parent') });
    expect((await errorOf(() => train(gpu, wide))).message).toMatch(
      /gate_proj.weight is \(96,48\), expected \(64,48\)/,
    );
  });
});

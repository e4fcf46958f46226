import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect } from 'vitest';
import { toyCorpus } from '../../demo/corpus/chats.ts';
import { ShishuError } from '../../src/errors.ts';
import type { TrainRequest } from '../../src/train/session.ts';

/** A folder with the configs of a parent and a child of these sizes and a text, and requests to train them. */
export function trainFolder(sizes: object, shape: Pick<TrainRequest, 'rows' | 'length'>) {
  const configs = {
    parent: { ...sizes, model_type: 'llama', num_hidden_layers: 3 },
    child: {
      ...sizes,
      model_type: 'shishu-llama',
      num_decoder_front: 1,
      num_mlp: 2,
      num_mlp_shared: 1,
      num_decoder_end: 0,
    },
  };
  let folder: string;
  const at = (...parts: string[]): string => join(folder, ...parts);
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'train-'));
    for (const [name, spec] of Object.entries(configs))
      await writeFile(at(`${name}.json`), JSON.stringify(spec));
    await writeFile(at('text.txt'), 'The fox ran home.\n\nThe bear sat down.\n\nThe fox sat.\n');
  });
  const request = (out: string, extra: Partial<TrainRequest> = {}): TrainRequest => ({
    configs: [at('parent.json'), at('child.json')],
    out: at(out),
    schedule: { steps: 6, learningRate: 1e-3, warmUp: 2 },
    seed: 1,
    ...shape,
    checkpointMinutes: 10,
    mix: 0.5,
    corpus: toyCorpus,
    textFile: at('text.txt'),
    log: () => {},
    signal: new AbortController().signal,
    ...extra,
  });
  return { configs, at, request };
}

/** The ShishuError that a call fails with. */
export async function errorOf(call: () => unknown): Promise<ShishuError> {
  try {
    await call();
  } catch (error) {
    expect(error).toBeInstanceOf(ShishuError);
    return error as ShishuError;
  }
  throw new Error('nothing was thrown');
}

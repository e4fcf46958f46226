import { describe, expect, it, vi } from 'vitest';
import { ShishuError } from '../../src/errors.ts';
import { specOf } from '../../src/families/index.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { readGeneration } from '../../src/formats/generation.ts';
import { readJson } from '../../src/formats/json.ts';
import { encodeSafetensors } from '../../src/formats/safetensors.ts';
import type { Source } from '../../src/formats/source.ts';
import { loadTokenizer } from '../../src/formats/tokenizer.ts';
import { byteTokenizerFiles } from '../support/byte-tokenizer.ts';
import { memorySource } from '../support/memory-source.ts';
import { mulberry32 } from '../support/random.ts';
import { sentencepieceFiles } from '../support/sentencepiece-tokenizer.ts';

const ODD = [
  null,
  true,
  -1,
  0,
  0.5,
  2 ** 40,
  1e300,
  '',
  'x',
  '__proto__',
  [],
  [[]],
  [null],
  {},
  { type: 'x' },
];

type Random = () => number;
const pick = <T>(random: Random, list: readonly T[]): T => list[Math.floor(random() * list.length)]!;

/** Damages text: cuts, drops, repeats or overwrites a part. */
function damageText(random: Random, text: string): string {
  const at = Math.floor(random() * text.length);
  const length = 1 + Math.floor(random() * 6);
  switch (Math.floor(random() * 4)) {
    case 0:
      return text.slice(0, at);
    case 1:
      return text.slice(0, at) + text.slice(at + length);
    case 2:
      return text.slice(0, at + length) + text.slice(at);
    default:
      return (
        text.slice(0, at) + pick(random, ['{', '}', '"', '9', '-', '\\', '\0', ',']) + text.slice(at + 1)
      );
  }
}

/** Replaces, removes or adds one field somewhere in a value; returns the damaged copy. */
function damageValue(random: Random, value: unknown, depth = 0): unknown {
  const leaf = typeof value !== 'object' || value === null || Object.keys(value).length === 0;
  if (leaf || random() < 0.15 * depth) return pick(random, ODD);
  const copy = (Array.isArray(value) ? [...value] : { ...value }) as Record<string, unknown>;
  // The first keys as likely as all others: vocabularies would swallow nearly every hit.
  const key = pick(random, random() < 0.5 ? Object.keys(copy).slice(0, 4) : Object.keys(copy));
  if (random() < 0.15) delete copy[key];
  else copy[key] = damageValue(random, copy[key], depth + 1);
  return copy;
}

const damage = (random: Random, text: string): string =>
  random() < 0.4 ? damageText(random, text) : JSON.stringify(damageValue(random, JSON.parse(text)));

/** A source that refuses to hand out more than the files could justify. */
function bounded(files: Record<string, string | Uint8Array>): Source {
  const source = memorySource(files);
  return {
    ...source,
    async read(file, start, end, signal) {
      const bytes = await source.read(file, start, end, signal);
      expect(bytes.length).toBeLessThan(1e6);
      return bytes;
    },
  };
}

/** Runs `attempt` on `rounds` damaged inputs: each must work or give a ShishuError; returns how many were refused. */
async function refusals(rounds: number, attempt: (random: Random) => Promise<unknown>): Promise<number> {
  let refused = 0;
  for (let seed = 1; seed <= rounds; seed++) {
    const error = await attempt(mulberry32(seed)).then(
      () => undefined,
      (e) => e,
    );
    if (error === undefined) continue;
    expect(error, `seed ${seed}: ${error?.stack}`).toBeInstanceOf(ShishuError);
    expect(error.message.length).toBeLessThan(2000);
    refused++;
  }
  return refused;
}

const tensor = (name: string, dtype: 'F32' | 'F16', shape: number[]) =>
  ({
    name,
    dtype,
    shape,
    data: new Uint8Array(shape.reduce((a, b) => a * b, dtype === 'F32' ? 4 : 2)),
  }) as const;
const tensors = [tensor('a', 'F32', [2, 3]), tensor('b', 'F16', [5]), tensor('c', 'F32', [1, 1, 2])];

describe('damaged files', () => {
  it('safetensors headers are refused, or mean the same tensors', async () => {
    const file = encodeSafetensors(tensors, { format: 'pt' });
    const length = Number(new DataView(file.buffer).getBigUint64(0, true));
    const header = new TextDecoder().decode(file.subarray(8, 8 + length)).trimEnd();
    const refused = await refusals(600, async (random) => {
      const text = new TextEncoder().encode(damage(random, header));
      const bytes = new Uint8Array(8 + text.length + file.length - 8 - length);
      const claimed = random() < 0.1 ? BigInt(Math.floor(random() * 2 ** 53)) : BigInt(text.length);
      new DataView(bytes.buffer).setBigUint64(0, claimed, true);
      bytes.set(text, 8);
      const { tensors: found } = await openCheckpoint(bounded({ 'model.safetensors': bytes }), tensors);
      expect([...found.values()].map(({ shape }) => shape)).toEqual(tensors.map(({ shape }) => shape));
    });
    expect(refused).toBeGreaterThan(400);
  });

  it('safetensors bytes, cut or overwritten, never give anything but a typed error', async () => {
    const file = encodeSafetensors(tensors);
    const refused = await refusals(300, async (random) => {
      const bytes = file.slice(0, random() < 0.3 ? Math.floor(random() * file.length) : undefined);
      for (let i = 0; i < 3 && bytes.length > 0; i++)
        bytes[Math.floor(random() * Math.min(bytes.length, 160))] = Math.floor(random() * 256);
      await openCheckpoint(bounded({ 'model.safetensors': bytes }), tensors);
    });
    expect(refused).toBeGreaterThan(200);
  });

  it('shard indices', async () => {
    const index = JSON.stringify({ metadata: {}, weight_map: { a: 's', b: 's', c: 't' } });
    const files = { s: encodeSafetensors(tensors.slice(0, 2)), t: encodeSafetensors(tensors.slice(2)) };
    const refused = await refusals(300, (random) =>
      openCheckpoint(bounded({ ...files, 'model.safetensors.index.json': damage(random, index) }), tensors),
    );
    expect(refused).toBeGreaterThan(150);
  });

  it.each<[string, object]>([
    [
      'shishu-llama',
      { num_decoder_front: 2, num_mlp: 3, num_mlp_shared: 1, linear_layers: [3], linear_rank: 8 },
    ],
    [
      'shishu',
      {
        parent_model_type: 'qwen3',
        num_hidden_layers: 4,
        layer_types: ['linear', 'full_attention', 'mlp', 'sliding_attention'],
        parent_layer_types: ['full_attention', 'full_attention', 'sliding_attention', 'sliding_attention'],
        use_sliding_window: true,
        sliding_window: 8,
        shared_mlps: [[0, 2]],
        linear_rank: 8,
        linear_inputs: 2,
      },
    ],
  ])('configs of %s', async (model_type, stack) => {
    const spec = JSON.stringify({
      model_type,
      ...stack,
      hidden_size: 32,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      intermediate_size: 64,
      vocab_size: 100,
      rope_parameters: { rope_type: 'linear', factor: 2, rope_theta: 10000 },
      eos_token_id: [1, 2],
    });
    specOf(JSON.parse(spec));
    const refused = await refusals(400, async (random) => {
      const source = bounded({
        'config.json': damage(random, spec),
        'generation_config.json': damage(random, '{"eos_token_id":[3,4]}'),
      });
      const facts = specOf(await readJson(source, 'config.json', { code: 'bad-config' }));
      await readGeneration(source, facts, { enders: [] });
    });
    expect(refused).toBeGreaterThan(200);
  });

  it.each([
    ['byte-level', byteTokenizerFiles()],
    ['sentencepiece', sentencepieceFiles()],
  ])('%s tokenizers', async (_, files) => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
    const refused = await refusals(400, async (random) => {
      const file = random() < 0.7 ? 'tokenizer.json' : 'tokenizer_config.json';
      const tokenizer = await loadTokenizer(bounded({ ...files, [file]: damage(random, files[file]!) }), 300);
      const ids = tokenizer.encode('Hello <|im_end|> the é 日本.');
      tokenizer.decode([...ids, 1, 2, 299], { skipSpecialTokens: false });
      if (tokenizer.hasChatTemplate) tokenizer.encodeChat([{ role: 'user', content: 'hi' }]);
    });
    warn.mockRestore();
    expect(refused).toBeGreaterThan(100);
  });
});

import { ShishuError } from '../errors.ts';
import { specOf } from '../families/index.ts';
import type { ModelSpec } from '../model/spec.ts';

/** Sizes of a parent; `config.json` fields in short. A head has hidden / heads numbers. */
export interface Shape {
  layers: number;
  hidden: number;
  ffn: number;
  heads: number;
  kvHeads: number;
  vocab: number;
}

/** (front, mlp, shared pairs, end) of a child's stack. */
export type Stack = readonly [front: number, mlp: number, shared: number, end: number];

/** A shape and the children of it that are offered; the first is the default. */
export interface Preset {
  name: string;
  shape: Shape;
  children: readonly Stack[];
}

/** One of the presets. @param mlpOnly of each child, its blocks without attention: the upper ones, whose MLPs share in pairs */
const row = (name: string, shape: Shape, ...mlpOnly: number[]): Preset => ({
  name,
  shape,
  children: mlpOnly.map((mlp) => [shape.layers - mlp, mlp, Math.floor(mlp / 2), 0]),
});

/** Shapes from the parents' published configs; the children replace a third or a half of the attention. */
export const PRESETS: readonly Preset[] = [
  row('MobileLLM-125M', { layers: 30, hidden: 576, ffn: 1536, heads: 9, kvHeads: 3, vocab: 32000 }, 15, 10),
  row('MobileLLM-350M', { layers: 32, hidden: 960, ffn: 2560, heads: 15, kvHeads: 5, vocab: 32000 }, 16, 10),
  row('MobileLLM-600M', { layers: 40, hidden: 1152, ffn: 3072, heads: 18, kvHeads: 6, vocab: 32000 }, 16, 12),
  row('SmolLM2-135M', { layers: 30, hidden: 576, ffn: 1536, heads: 9, kvHeads: 3, vocab: 49152 }, 15, 10),
  row('SmolLM2-360M', { layers: 32, hidden: 960, ffn: 2560, heads: 15, kvHeads: 5, vocab: 49152 }, 16, 10),
  row('Llama-3.2-1B', { layers: 16, hidden: 2048, ffn: 8192, heads: 32, kvHeads: 8, vocab: 128256 }, 8, 5),
  // Not a published model: small enough for every machine.
  row('Tiny-1M', { layers: 8, hidden: 96, ffn: 256, heads: 4, kvHeads: 2, vocab: 1280 }, 4),
];

/** What to measure: a model folder, or a shape with random weights. */
export type BenchModel =
  | { kind: 'shape'; preset: string; stack?: Stack | undefined }
  | { kind: 'folder'; source: string };

/** The mend for a name that is no preset's. */
export const KNOWN_PRESETS = `Presets: ${PRESETS.map(({ name }) => name).join(', ')}.`;

/**
 * Reads `MobileLLM-125M` (the parent), `MobileLLM-125M:15,15,7,0` (a child: front, mlp, shared pairs, end), or else the
 * address of a model folder.
 * @throws ShishuError `bad-argument` for a stack that cannot be, or one of no preset
 */
export function parseBenchModel(text: string): BenchModel {
  if (text.trim() === '') throw new ShishuError('bad-argument', 'A model to measure is missing.');
  const [named, ...rest] = text.split(':') as [string, ...string[]];
  const preset = PRESETS.find(({ name }) => name.toLowerCase() === named.trim().toLowerCase());
  if (preset) {
    const { name } = preset;
    return rest.length === 0
      ? { kind: 'shape', preset: name }
      : { kind: 'shape', preset: name, stack: parseStack(rest.join(':')) };
  }
  // No address looks like a stack.
  if (/^[\d\s]+(,[\d\s]+)+$/.test(rest.join(':'))) presetOf(named);
  return { kind: 'folder', source: text };
}

/** Reads `front,mlp,shared,end`. @throws ShishuError `bad-argument` */
export function parseStack(text: string): Stack {
  const parts = text.split(',').map((part) => (/^\s*\d{1,4}\s*$/.test(part) ? Number(part) : Number.NaN));
  const [front, mlp, shared, end] = parts;
  if (parts.length !== 4 || parts.some(Number.isNaN))
    throw new ShishuError('bad-argument', `The stack "${text}" is not front,mlp,shared,end.`, {
      mend: 'Give four whole numbers, for example 15,15,7,0.',
    });
  if (2 * shared! > mlp!)
    throw new ShishuError(
      'bad-argument',
      `${shared} shared pairs need ${2 * shared!} MLP-only blocks, there are ${mlp}.`,
      { mend: `At most ${Math.floor(mlp! / 2)} can share.` },
    );
  if (front! + mlp! + end! === 0) throw new ShishuError('bad-argument', 'The stack has no blocks.');
  return [front!, mlp!, shared!, end!];
}

/** The text that `parseBenchModel` reads. */
export function benchModelText(asked: BenchModel): string {
  if (asked.kind === 'folder') return asked.source;
  return asked.stack ? `${asked.preset}:${asked.stack.join(',')}` : asked.preset;
}

const presetOf = (name: string): Preset => {
  const found = PRESETS.find((preset) => preset.name === name);
  if (!found) throw new ShishuError('bad-argument', `There is no preset "${name}".`, { mend: KNOWN_PRESETS });
  return found;
};

/** The same proportions in `blocks` blocks. */
export function sliceStack([front, mlp, shared, end]: Stack, blocks: number): Stack {
  const layers = front + mlp + end;
  if (blocks >= layers) return [front, mlp, shared, end];
  const newMlp = Math.round((mlp * blocks) / layers);
  const newEnd = Math.min(blocks - newMlp, Math.round((end * blocks) / layers));
  const newShared = mlp === 0 ? 0 : Math.floor((shared * newMlp) / mlp);
  return [blocks - newMlp - newEnd, newMlp, newShared, newEnd];
}

/** A model of these sizes, of the family of ShishuLMs; a parent's stack is `[layers, 0, 0, 0]`. */
export const shapeSpec = (
  { hidden, ffn, heads, kvHeads, vocab }: Shape,
  [front, mlp, shared, end]: Stack,
): ModelSpec =>
  specOf({
    model_type: 'shishu-llama',
    num_decoder_front: front,
    num_mlp: mlp,
    num_mlp_shared: shared,
    num_decoder_end: end,
    hidden_size: hidden,
    intermediate_size: ffn,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    vocab_size: vocab,
    // Random weights have no length that they were trained for.
    max_position_embeddings: 131072,
    tie_word_embeddings: true,
  });

/** A model with random weights, and its name in results. `blocks` keeps a slice of the stack, for slow machines. */
export function shapeModel(
  asked: BenchModel & { kind: 'shape' },
  blocks: number | undefined,
): { label: string; spec: ModelSpec } {
  const { shape: sizes } = presetOf(asked.preset);
  const whole: Stack = asked.stack ?? [sizes.layers, 0, 0, 0];
  const layers = whole[0] + whole[1] + whole[3];
  const stack = blocks === undefined ? whole : sliceStack(whole, blocks);
  const spec = shapeSpec(sizes, stack);
  const kept = spec.blocks.length;
  const sliced = kept < layers ? ` [${kept} of ${layers} blocks]` : '';
  return { label: `${asked.preset}${asked.stack ? ` (${stack.join(',')})` : ''}${sliced}`, spec };
}

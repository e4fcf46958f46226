import { ShishuError } from '../errors.ts';
import { specOf } from '../families/index.ts';
import type { ModelSpec } from '../model/spec.ts';

/** Sizes of a parent; `config.json` fields in short. */
interface Shape {
  layers: number;
  hidden: number;
  ffn: number;
  heads: number;
  kvHeads: number;
  headDim: number;
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

const shape = (
  layers: number,
  hidden: number,
  ffn: number,
  heads: number,
  kvHeads: number,
  headDim: number,
  vocab: number,
): Shape => ({ layers, hidden, ffn, heads, kvHeads, headDim, vocab });

/** Shapes from the parents' published configs; the children replace a third or a half of the attention, pairs sharing. */
export const PRESETS: readonly Preset[] = [
  {
    name: 'MobileLLM-125M',
    shape: shape(30, 576, 1536, 9, 3, 64, 32000),
    children: [
      [15, 15, 7, 0],
      [20, 10, 5, 0],
    ],
  },
  {
    name: 'MobileLLM-350M',
    shape: shape(32, 960, 2560, 15, 5, 64, 32000),
    children: [
      [16, 16, 8, 0],
      [22, 10, 5, 0],
    ],
  },
  {
    name: 'MobileLLM-600M',
    shape: shape(40, 1152, 3072, 18, 6, 64, 32000),
    children: [
      [24, 16, 8, 0],
      [28, 12, 6, 0],
    ],
  },
  {
    name: 'SmolLM2-135M',
    shape: shape(30, 576, 1536, 9, 3, 64, 49152),
    children: [
      [15, 15, 7, 0],
      [20, 10, 5, 0],
    ],
  },
  {
    name: 'SmolLM2-360M',
    shape: shape(32, 960, 2560, 15, 5, 64, 49152),
    children: [
      [16, 16, 8, 0],
      [22, 10, 5, 0],
    ],
  },
  {
    name: 'Llama-3.2-1B',
    shape: shape(16, 2048, 8192, 32, 8, 64, 128256),
    children: [
      [8, 8, 4, 0],
      [11, 5, 2, 0],
    ],
  },
  // Not a published model: small enough for every machine.
  {
    name: 'Tiny-1M',
    shape: shape(8, 96, 256, 4, 2, 24, 1280),
    children: [[4, 4, 2, 0]],
  },
];

/** What to measure: a model folder, or a shape whose weights are made up on the GPU. */
export type BenchModel =
  | { kind: 'shape'; preset: string; stack?: Stack | undefined }
  | { kind: 'folder'; source: string };

/** What to say to a name that is not one of a preset. */
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
      {
        mend: `At most ${Math.floor(mlp! / 2)} can share.`,
      },
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

/** A made-up model: its config and what to call it. `blocks` keeps a slice of the stack, for slow machines. */
export function shapeModel(
  asked: BenchModel & { kind: 'shape' },
  blocks: number | undefined,
): { label: string; spec: ModelSpec } {
  const { shape: sizes } = presetOf(asked.preset);
  const whole: Stack = asked.stack ?? [sizes.layers, 0, 0, 0];
  const layers = whole[0] + whole[1] + whole[3];
  const stack = blocks === undefined ? whole : sliceStack(whole, blocks);
  const [front, mlp, shared, end] = stack;
  const sliced = front + mlp + end < layers ? ` [${front + mlp + end} of ${layers} blocks]` : '';
  const spec = specOf({
    model_type: 'shishu-llama',
    num_decoder_front: front,
    num_mlp: mlp,
    num_mlp_shared: shared,
    num_decoder_end: end,
    hidden_size: sizes.hidden,
    intermediate_size: sizes.ffn,
    num_attention_heads: sizes.heads,
    num_key_value_heads: sizes.kvHeads,
    head_dim: sizes.headDim,
    vocab_size: sizes.vocab,
    // Made-up weights have no length that they were trained for.
    max_position_embeddings: 131072,
    tie_word_embeddings: true,
  });
  return { label: `${asked.preset}${asked.stack ? ` (${stack.join(',')})` : ''}${sliced}`, spec };
}

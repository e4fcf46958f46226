import type { LoadOptions } from '../engine/types.ts';
import { openCheckpoint } from '../formats/checkpoint.ts';
import { readJson } from '../formats/json.ts';
import type { Source } from '../formats/source.ts';
import { type ModelConfig, parseConfig } from '../model/config.ts';
import { kvBytesPerToken, type Plan, parameterCount, planOf, tensorSpecs } from '../model/plan.ts';
import { type Command, loadOptionsOf, MODEL_HELP, parseCommand, usageError } from './args.ts';
import { openModelFolder, print, printJson } from './io.ts';
import { weightBytes } from './weight-bytes.ts';

/** Config and stored dtype of a folder whose tensors are all there, of the right shapes. */
async function readFolder(source: Source): Promise<{ config: ModelConfig; stored: string }> {
  const declared = parseConfig(await readJson(source, 'config.json', { code: 'bad-config' }));
  const open = async (config: ModelConfig) => {
    const { tensors } = await openCheckpoint(source, tensorSpecs(config));
    return { config, stored: tensors.get('model.embed_tokens.weight')!.dtype };
  };
  try {
    return await open(declared);
  } catch (error) {
    // Public code declares a width of MLP-only blocks that it does not use: the stored shapes decide.
    const plain = { ...declared, mlpOnlyIntermediateSize: declared.intermediateSize };
    return open(plain).catch(() => Promise.reject(error));
  }
}

/** The options with their defaults. @throws ShishuError `bad-argument` naming the option out of range. */
function sizesOf(
  { dtype = 'auto', kv = 'f32', contextLength }: LoadOptions,
  config: ModelConfig,
  stored: string,
) {
  const most = config.maxPositions;
  const context = contextLength ?? Math.min(most, 4096);
  if (!Number.isInteger(context) || context < 1 || context > most)
    throw usageError(`--context is ${context}, expected a whole number from 1 to the model's ${most}.`);
  if (kv !== 'f32' && kv !== 'f16') throw usageError(`--kv is ${kv}, expected f32 or f16.`);
  if (!['auto', 'f32', 'f16', 'q8', 'q4'].includes(dtype))
    throw usageError(`--dtype is ${dtype}, expected auto, f32, f16, q8 or q4.`);
  const auto = stored === 'F16' ? ('f16' as const) : ('f32' as const);
  return { dtype: dtype === 'auto' ? auto : dtype, kv, contextLength: context };
}

/** Runs of like blocks: `12 attention, 10 MLP-only (5 shared pairs)`. */
function planText(plan: Plan): string {
  const names = { attention: 'attention', linear: 'linear', mlp: 'MLP-only' };
  const kinds: { kind: keyof typeof names; blocks: number; shared: number }[] = [];
  for (const { kind, layer, mlp } of plan) {
    let last = kinds.at(-1);
    if (last?.kind !== kind) {
      last = { kind, blocks: 0, shared: 0 };
      kinds.push(last);
    }
    last.blocks++;
    if (mlp !== layer) last.shared++;
  }
  return kinds
    .map(({ kind, blocks, shared }) => {
      const note = shared ? ` (${shared} with the weights of the block before)` : '';
      return `${blocks} ${names[kind]}${note}`;
    })
    .join(', ');
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(2)} MB`;

/** `shishulm inspect`: reads headers only, and needs no GPU. */
export const command: Command = {
  help: `shishulm inspect DIR [options]
  What a model is, and the bytes that its weights and KV cache take on a GPU. Needs no GPU.

${MODEL_HELP}
  --json           one JSON object on stdout: {config, plan, parameters, bytes, dtype, kv, contextLength}`,

  async run(argv) {
    const { values, folder } = parseCommand(argv, {});
    const options = loadOptionsOf(values);
    const { config, stored } = await readFolder(await openModelFolder(folder));
    const sizes = sizesOf(options, config, stored);
    const plan = planOf(config);
    const parameters = parameterCount(config);
    const weights = weightBytes(config, plan, sizes.dtype);
    const perToken = kvBytesPerToken(config, plan, sizes.kv === 'f32' ? 4 : 2);
    const kv = perToken * sizes.contextLength;
    const bytes = { weights, kv, kvPerToken: perToken, total: weights + kv };
    if (values.json) return printJson({ config, plan, parameters, bytes, ...sizes });
    const { hiddenSize, heads, kvHeads, headDim, intermediateSize, vocabSize, tied } = config;
    const rows = {
      model: `${config.modelType}, ${config.layers} blocks, stored as ${stored}`,
      blocks: planText(plan),
      shape: `hidden ${hiddenSize}, MLP ${intermediateSize}, ${heads} heads, ${kvHeads} KV heads of ${headDim}`,
      vocabulary: `${vocabSize}${tied ? ', tied' : ''}`,
      parameters: parameters.toLocaleString('en-US'),
      weights: `${megabytes(weights)} as ${sizes.dtype}`,
      'KV cache': `${megabytes(kv)} for ${sizes.contextLength} tokens, ${perToken} bytes a token as ${sizes.kv}`,
      total: `${megabytes(bytes.total)}, and scratch`,
    };
    for (const [name, value] of Object.entries(rows)) print(`${name.padEnd(11)} ${value}`);
  },
};

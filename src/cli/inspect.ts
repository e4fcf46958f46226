import { readHeaders, sizesOn } from '../engine/engine.ts';
import type { FormatShare } from '../engine/weight-formats.ts';
import {
  attentionOf,
  convOf,
  kvBytesPerToken,
  type ModelSpec,
  type Plan,
  parameterCount,
  planOf,
} from '../model/spec.ts';
import {
  type Command,
  cacheOf,
  GPU_HELP,
  loadOptionsOf,
  MODEL_HELP,
  parseCommand,
  refuseOptions,
} from './args.ts';
import { profileHere } from './gpu.ts';
import { openModelFolder, print, printJson } from './io.ts';
import { cacheBytes, weightBytes } from './weight-bytes.ts';

/** Runs of like blocks: `12 attention, 10 MLP-only (5 shared pairs)`. */
function planText(plan: Plan): string {
  const names = { attention: 'attention', linear: 'linear', conv: 'convolution', mlp: 'MLP-only' };
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

/** Hidden size, widths of MLPs, heads; each once. */
function shapeText(spec: ModelSpec): string {
  const widths = new Set(spec.blocks.map(({ feedForward: { width } }) => width));
  const heads = new Set(
    [...attentionOf(spec).values()].map(
      ({ heads, kvHeads, headDim }) => `, ${heads} heads, ${kvHeads} KV heads of ${headDim}`,
    ),
  );
  return `hidden ${spec.hiddenSize}, MLP ${[...widths].join(' and ')}${[...heads].join('')}`;
}

/** `q8`, or with the bytes of each where there are several. */
const formatsText = (formats: readonly FormatShare[]): string =>
  formats.length === 1
    ? formats[0]!.dtype
    : formats
        .map(({ dtype, tensors, bytes }) => `${dtype} (${tensors} matrices, ${megabytes(bytes)})`)
        .join(', ');

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(2)} MB`;

/** `shishulm inspect`: reads headers only, and needs no GPU. */
export const command: Command = {
  help: `shishulm inspect MODEL [options]
  What a model is, and the bytes that its weights and KV cache take on the GPU. Needs none: without one, the
  figures are those of a GPU.

${MODEL_HELP}
${GPU_HELP}
  --json           one JSON object on stdout: {spec, plan, parameters, bytes, dtype, f32Tensors, formats, kv,
                   contextLength}`,

  async run(argv) {
    const { values, folder } = parseCommand(argv, {});
    refuseOptions(values, ['tune', 'no-tune', 'tuning']);
    const options = loadOptionsOf(values);
    const headers = await readHeaders(
      await openModelFolder(folder, cacheOf(values) === true ? 'kept-only' : false),
      options,
    );
    const { spec, stored, sizes: asked } = headers;
    const plan = planOf(spec);
    const windows = new Set([...attentionOf(spec).values()].flatMap(({ window }) => window ?? []));
    // A GPU runs more of a prompt at once, which rings have room for.
    const profile =
      asked.kv === 'auto' || windows.size > 0 || convOf(spec).size > 0
        ? await profileHere(options.profile ?? 'auto', values.adapter)
        : 'gpu';
    const sizes = sizesOn({ profile }, asked);
    const { dtype, own = new Map(), kv: kvDtype, contextLength } = sizes;
    const f32Tensors = dtype === 'f16' ? [...own].flatMap(([name, as]) => (as === 'f32' ? [name] : [])) : [];
    const parameters = parameterCount(spec);
    const { weights, formats } = weightBytes(spec, sizes);
    const each = kvDtype === 'f32' ? 4 : 2;
    const perToken = kvBytesPerToken(spec, plan, each);
    const { kv, rings } = cacheBytes({ profile }, spec, sizes);
    const grows = plan.filter(({ layer }) => !rings.has(layer));
    const past = kvBytesPerToken(spec, grows, each);
    const bytes = { weights, kv, kvPerToken: perToken, total: weights + kv };
    if (values.json)
      return printJson({
        spec,
        plan,
        parameters,
        bytes,
        dtype,
        f32Tensors,
        formats,
        kv: kvDtype,
        contextLength,
      });
    const { vocabSize, tied, headless } = spec;
    const rows = {
      model: `${spec.modelType}, ${plan.length} blocks, stored as ${stored}`,
      blocks: planText(plan),
      shape: shapeText(spec),
      vocabulary: `${vocabSize}${headless ? ', no head' : tied ? ', tied' : ''}`,
      parameters: parameters.toLocaleString('en-US'),
      weights: `${megabytes(weights)} as ${formatsText(formats)}`,
      'KV cache': `${megabytes(kv)} for ${contextLength} tokens, ${perToken} bytes a token as ${kvDtype}${past < perToken ? `, ${past} past the window of ${[...windows].join(', ')}` : ''}`,
      total: `${megabytes(bytes.total)}, and scratch`,
    };
    for (const [name, value] of Object.entries(rows)) print(`${name.padEnd(11)} ${value}`);
  },
};

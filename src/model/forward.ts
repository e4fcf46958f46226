import type { Ledger } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/device.ts';
import { type Dispatch, Recorder } from '../gpu/recorder.ts';
import { attention, attentionPartsBytes } from '../kernels/attention.ts';
import { takesOwn } from '../kernels/attention-decode.ts';
import { conv } from '../kernels/conv.ts';
import { embed } from '../kernels/embed.ts';
import { gatherInputs } from '../kernels/inputs.ts';
import { norm } from '../kernels/norm.ts';
import { type Output, type Projection, project } from '../kernels/project.ts';
import { normAndRope, type QkvPlace } from '../kernels/rope.ts';
import { type Activations, stride, type Weight } from '../kernels/tensor.ts';
import { isTiled, type Tuning, type Width } from '../kernels/tuning.ts';
import type { AdapterSet, Site } from './adapters.ts';
import type { KvCache } from './kvcache.ts';
import { type RotatedHead, ropeTable } from './rope.ts';
import { type AttentionMixer, attentionOf, convOf, type ModelSpec, type Plan } from './spec.ts';
import type { Weights } from './weights.ts';

/** Bytes of a `Row` and of a `Step` in the shaders. */
export const ROW_BYTES = 16;
export const STEP_BYTES = 16;
/** Behind the rows of q, for each sequence: what shaders/shared/kv_write_f16.wgsl notes. */
const NOTE_BYTES = 8;

/**
 * Activations that every forward of a model writes over; `(rows, ...)` each. What a projection reads has one width: past it are
 * zeros, for a weight's own padding may not be, in formats whose codes have no zero.
 */
export interface Scratch {
  /** Most rows of a forward, and most rows of logits. */
  rows: number;
  logitRows: number;
  x: Activations;
  normed: GPUBuffer;
  q: GPUBuffer;
  /** q, k and v before their norms, where a block has them; the three thirds of what a convolution's block makes of x. */
  qkv: GPUBuffer | undefined;
  attended: GPUBuffer;
  parts: GPUBuffer;
  /** What lies between two matrices, of an MLP or of a linear map, by its columns. */
  hidden: ReadonlyMap<number, GPUBuffer>;
  /** What linear maps of several inputs read, by how many. */
  inputs: Map<number, GPUBuffer>;
  logits: Activations;
  /** `(context, headDim / 2)` cos and sin, by `ropeKey`. */
  ropes: ReadonlyMap<string, GPUBuffer>;
  step: GPUBuffer;
}

/** What blocks that share a table of RoPE have in common. */
const ropeKey = ({ headDim, rope }: RotatedHead): string => JSON.stringify([headDim, rope]);

const qSize = ({ heads, headDim }: AttentionMixer): number => heads * headDim;
const qkvSize = ({ heads, kvHeads, headDim }: AttentionMixer): number => (heads + 2 * kvHeads) * headDim;

export function allocateScratch(
  ledger: Ledger,
  tuning: Tuning,
  spec: ModelSpec,
  size: { rows: number; decodeRows: number; logitRows: number; context: number; sequences: number },
): Scratch {
  const { rows, context } = size;
  const make = (label: string, cols: number): GPUBuffer =>
    ledger.storage(label, 4 * rows * stride(cols), 'scratch');
  const mixers = [...attentionOf(spec).values()];
  const most = (of: (mixer: AttentionMixer) => number): number => Math.max(0, ...mixers.map(of));
  const convolved = convOf(spec).size > 0 ? spec.hiddenSize : 0;
  const normed = mixers.filter(({ qkNorm }) => qkNorm !== undefined);
  const qkv = Math.max(3 * convolved, ...normed.map(qkvSize));
  const hidden = spec.blocks.flatMap(({ mixer, feedForward: { width } }) =>
    mixer.kind === 'linear' && mixer.down ? [mixer.down.rows, width] : [width],
  );
  const inputs = spec.blocks.flatMap(({ mixer }) =>
    mixer.kind === 'linear' && (mixer.inputs ?? 1) > 1 ? [mixer.inputs!] : [],
  );
  return {
    rows,
    logitRows: size.logitRows,
    x: { buffer: make('x', spec.hiddenSize), cols: spec.hiddenSize },
    normed: make('normed', spec.hiddenSize),
    q: ledger.storage('q', 4 * rows * stride(most(qSize)) + NOTE_BYTES * size.sequences, 'scratch'),
    qkv: qkv > 0 ? make('qkv', qkv) : undefined,
    attended: make('attended', most(qSize)),
    parts: ledger.storage(
      'attention parts',
      most((mixer) => attentionPartsBytes(tuning, mixer, context, size.decodeRows)),
      'scratch',
    ),
    hidden: new Map([...new Set(hidden)].map((cols) => [cols, make('hidden', cols)])),
    inputs: new Map([...new Set(inputs)].map((count) => [count, make('inputs', count * spec.hiddenSize)])),
    logits: {
      buffer: ledger.storage('logits', 4 * size.logitRows * stride(spec.vocabSize), 'scratch'),
      cols: spec.vocabSize,
    },
    ropes: new Map(
      [...new Map(mixers.map((mixer) => [ropeKey(mixer), mixer]))].map(([key, mixer]) => [
        key,
        ledger.filled('rope', 4 * context * mixer.headDim, () => ropeTable(mixer, context), 'scratch'),
      ]),
    ),
    step: ledger.buffer('step', STEP_BYTES, 'scratch', GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST),
  };
}

/** All that a forward reads and writes. */
export interface ForwardParts {
  gpu: Gpu;
  tuning: Tuning;
  spec: ModelSpec;
  weights: Weights;
  kv: KvCache;
  scratch: Scratch;
  /** LoRA adapters, once one was loaded. */
  adapters?: AdapterSet;
}

/** Most rows of a step of a width: of a chunk, or of sequences and of prompts that are too short for one. */
const mostRows = ({ tuning, kv, scratch }: ForwardParts, width: Width): number =>
  width === 'many' ? scratch.rows : Math.max(kv.sequences, tuning.wideFrom - 1);

/**
 * The one forward: records embedding and blocks of the plan over the rows of `rows` (token, sequence, position), leaving the
 * last hidden states in `scratch.x`. A chunk of a prompt, one token and several sequences differ only in their rows.
 * @param adapted some rows are of sequences with an adapter
 */
export function recordBlocks(
  parts: ForwardParts,
  plan: Plan,
  rows: GPUBuffer,
  width: Width,
  adapted = false,
): Promise<Dispatch[]> {
  const { gpu, tuning, spec, weights, kv, scratch } = parts;
  const adapters = adapted ? parts.adapters : undefined;
  const { x, step } = scratch;
  const eps = spec.rmsNormEps;
  const normed = { eps, normed: scratch.normed };
  const made = { width, most: mostRows(parts, width) };
  const shapes = attentionOf(spec);
  const convolutions = convOf(spec);
  const recorder = new Recorder(gpu);
  /** What a launch for adapters of a projection reads, once A x of its input is computed. */
  const lowRank = (
    site: Site,
    { label, x: from, norm: before }: Pick<Projection, 'label' | 'x' | 'norm'>,
  ) => {
    const t = adapters!.scratch('t');
    // The norm of many rows was a launch of its own.
    const done = before && (width === 'many' || isTiled(width, tuning));
    project(gpu, tuning, recorder, {
      label: `${label} adapters' A`,
      x: done ? { buffer: scratch.normed, cols: from.cols } : from,
      weight: site.a,
      out: { kind: 'plain', to: { buffer: t, cols: site.rank }, residual: false },
      norm: done ? undefined : before,
      ...made,
      step,
    });
    const { chosen, sequences } = adapters!;
    return { label: `${label} adapters' B`, site, t, chosen, sequences, rows, step };
  };
  /** Adds a projection to the hidden states, or with a gain its norm. */
  const add = (
    label: string,
    from: Activations,
    weight: Weight,
    gain: GPUBuffer | undefined,
    site: Site | undefined,
    half = false,
  ): void => {
    const to = gain ? { buffer: scratch.normed, cols: x.cols } : x;
    const out: Output = { kind: 'plain', to, residual: !gain };
    project(gpu, tuning, recorder, { label, x: from, weight, out, half, ...made, step });
    if (site) adapters!.loraAdd(recorder, { ...lowRank(site, { label, x: from }), to });
    if (!gain) return;
    const call = { label: `${label} norm`, x: to, vectors: gain, out: x.buffer, add: true };
    norm(gpu, tuning, recorder, { ...call, eps, head: false, step });
  };
  embed(recorder, { table: weights.embed, rows, out: x, step });
  for (const { kind, layer, mlp } of plan) {
    recorder.block = layer;
    if (kind === 'attention') {
      const own = weights.attention.get(layer)!;
      const shape = shapes.get(layer)!;
      const place: QkvPlace = {
        shape,
        q: scratch.q,
        kv: kv.of(layer),
        kvDtype: kv.dtype,
        sequences: kv.sequences,
        context: kv.context,
        capacity: kv.capacityOf(layer),
        rope: scratch.ropes.get(ropeKey(shape))!,
        rows,
      };
      const whole = typeof shape.qkNorm === 'object' && shape.qkNorm.whole === true;
      const site = adapters?.site(layer, 'qkv');
      const qkv =
        shape.qkNorm || site
          ? { buffer: shape.qkNorm ? scratch.qkv! : adapters!.scratch('qkv'), cols: qkvSize(shape) }
          : undefined;
      const attended = { buffer: scratch.attended, cols: qSize(shape) };
      const input = { label: 'qkv', x, norm: own.qkv.hasGain ? normed : undefined };
      project(gpu, tuning, recorder, {
        ...input,
        weight: own.qkv,
        out: qkv ? { kind: 'plain', to: qkv, residual: false } : { kind: 'qkv', ...place },
        ...made,
        step,
      });
      if (site) adapters!.loraAdd(recorder, { ...lowRank(site, input), to: qkv! });
      const norm = shape.qkNorm !== undefined;
      const unplaced = qkv && { qkv, norm, gains: own.qkGains, whole, eps };
      const taken = takesOwn(tuning, shape, width);
      if (unplaced && !taken)
        normAndRope(gpu, tuning, recorder, { label: 'rope', own: unplaced, place, step });
      attention(gpu, tuning, recorder, {
        label: 'attention',
        place,
        own: taken ? unplaced : undefined,
        out: attended,
        parts: scratch.parts,
        window: shape.window,
        ...made,
        step,
      });
      // Means of v are within what v is.
      add('out', attended, own.out, own.gainAfter, adapters?.site(layer, 'out'), kv.dtype === 'f16');
    } else if (kind === 'conv') {
      const own = weights.conv.get(layer)!;
      const thirds = { buffer: scratch.qkv!, cols: own.in.rows };
      const out: Output = { kind: 'plain', to: thirds, residual: false };
      const input = { label: 'conv in', x, norm: normed };
      const site = adapters?.site(layer, 'convIn');
      project(gpu, tuning, recorder, { ...input, weight: own.in, out, ...made, step });
      if (site) adapters!.loraAdd(recorder, { ...lowRank(site, input), to: thirds });
      // The normed x has been read.
      const mixed = { buffer: scratch.normed, cols: spec.hiddenSize };
      conv(recorder, {
        x: thirds,
        mixer: convolutions.get(layer)!,
        taps: own.taps,
        seen: kv.of(layer),
        sequences: kv.sequences,
        context: kv.context,
        capacity: kv.capacityOf(layer),
        rows,
        out: mixed,
        width,
        step,
      });
      add('conv out', mixed, own.out, undefined, adapters?.site(layer, 'convOut'));
    } else if (kind === 'linear') {
      recordLinear(parts, recorder, { layer, rows, to: x, width });
    }
    const { gateUp, down, gainAfter } = weights.mlp.get(mlp)!;
    const { activation = 'silu' } = spec.blocks[mlp]!.feedForward;
    const hidden = { buffer: scratch.hidden.get(down.cols)!, cols: down.cols };
    const input = { label: 'gate and up', x, norm: gateUp.hasGain ? normed : undefined };
    const site = adapters?.site(mlp, 'gateUp');
    const sums = site && { buffer: adapters!.scratch('gateUp'), cols: gateUp.rows };
    project(gpu, tuning, recorder, {
      ...input,
      weight: gateUp,
      out: sums ? { kind: 'plain', to: sums, residual: false } : { kind: 'swiglu', to: hidden, activation },
      ...made,
      step,
    });
    if (site && sums) {
      const part = gateUp.parts[0]!.rows;
      adapters!.loraGate(recorder, { ...lowRank(site, input), sums, part, activation, to: hidden });
    }
    add('down', hidden, down, gainAfter, adapters?.site(mlp, 'down'));
  }
  return recorder.finish();
}

/** Records a layer's linear map of the hidden states: added to them, or put elsewhere `(rows, stride(hidden))`. */
export function recordLinear(
  parts: ForwardParts,
  recorder: Recorder,
  { layer, rows, to, width }: { layer: number; rows: GPUBuffer; to: Activations; width: Width },
): void {
  const { gpu, tuning, spec, weights, kv, scratch } = parts;
  const { x, normed, step } = scratch;
  const eps = spec.rmsNormEps;
  const made = { width, most: mostRows(parts, width) };
  norm(gpu, tuning, recorder, { label: 'linear norm', x, out: normed, eps, head: false, step });
  const { down, up } = weights.linear.get(layer)!;
  const inputs = (down ?? up).cols / x.cols;
  const own = { buffer: normed, cols: x.cols };
  const z = inputs > 1 ? { buffer: scratch.inputs.get(inputs)!, cols: inputs * x.cols } : own;
  if (inputs > 1) {
    const { sequences, context } = kv;
    const call = {
      z: own,
      inputs,
      ...kv.inputsOf(layer),
      sequences,
      context,
      rows,
      out: z.buffer,
      width,
      step,
    };
    gatherInputs(recorder, call);
  }
  const reduced = down && { buffer: scratch.hidden.get(down.rows)!, cols: down.rows };
  if (reduced)
    project(gpu, tuning, recorder, {
      label: 'linear down',
      x: z,
      weight: down,
      out: { kind: 'plain', to: reduced, residual: false },
      // Without a gain, no value is past the root of its row's size.
      half: true,
      ...made,
      step,
    });
  project(gpu, tuning, recorder, {
    label: 'linear',
    x: reduced ?? z,
    weight: up,
    out: { kind: 'plain', to, residual: to === x },
    half: !reduced,
    ...made,
    step,
  });
}

/** Records final norm and head over the rows whose logits are wanted: `scratch.logits (count, vocab)`. */
export function recordHead(
  { gpu, tuning, spec, weights, scratch }: ForwardParts,
  width: Width,
): Promise<Dispatch[]> {
  const recorder = new Recorder(gpu);
  project(gpu, tuning, recorder, {
    label: 'logits',
    x: scratch.x,
    weight: weights.head,
    out: { kind: 'plain', to: scratch.logits, residual: false },
    norm: { eps: spec.rmsNormEps, normed: scratch.normed },
    head: true,
    width,
    most: scratch.logitRows,
    step: scratch.step,
  });
  return recorder.finish();
}

// Launches of every kernel in the registry with odd sizes, by the names of constants and bindings: a new kernel needs a line here
// only for a name that no other has.
import { f32ArrayToF16 } from '../../src/formats/float.ts';
import { type BlockType, TYPES } from '../../src/formats/gguf/types.ts';
import {
  askedOf,
  type Fixed,
  type Kernel,
  type Launch,
  permutations,
  type ShaderSpec,
  type StepShape,
  type TwinLaunch,
} from '../../src/gpu/kernel.ts';
import { CANDIDATES } from '../../src/kernels/draw.ts';
import { packSpans } from '../../src/kernels/pool.ts';
import { keySize } from '../../src/kernels/qkv.ts';
import { packSampler } from '../../src/kernels/sample.ts';
import { SLICES } from '../../src/kernels/slices.ts';
import { rowBytes } from '../../src/kernels/tensor.ts';
import { TOP_SLICES } from '../../src/kernels/tops.ts';
import { all, BYTES, placesOf, twinLaunch } from '../../src/kernels/twin.ts';
import { packBlocks } from '../../src/model/pack.ts';
import { FORMATS, type WeightDtype } from '../../src/quant/index.ts';
import { runsOf } from '../../src/train/kernels/embed.ts';
import { randomBlocks } from './gguf-file.ts';
import {
  contextOf,
  HEADS,
  LORA_RANKS,
  longer,
  loraRank,
  ODD,
  type Odd,
  rowOf,
  rowsOf,
  SIZES,
  writesOwn,
} from './kernel-sizes.ts';
import { mulberry32 } from './random.ts';

/** One launch: what its bindings hold, and what of that the twin reads. */
export interface KernelCase {
  label: string;
  spec: ShaderSpec;
  launch: TwinLaunch;
  /** Bytes of each binding before; what the twin does not read is NaN. */
  before: Map<string, Uint8Array<ArrayBuffer>>;
}

const SAMPLER = { repetitionPenalty: 1.3, frequencyPenalty: 0.2, presencePenalty: 0.4 };
const SAMPLERS = [
  { ...SAMPLER, temperature: 0, topP: 1, minP: 0, topK: 0 },
  { ...SAMPLER, temperature: 0.7, topP: 1, minP: 0, topK: 6 },
  { ...SAMPLER, temperature: 1, topP: 0.6, minP: 0, topK: 0 },
  { ...SAMPLER, temperature: 1.5, topP: 0.9, minP: 0.2, topK: 1000 },
  { ...SAMPLER, temperature: 1, topP: 1, minP: 0, topK: 0 },
];

/** Bindings that kernels read as another leaves them, by that one. */
const LEFT_BY: Readonly<Record<string, { kernel: Kernel; fixed: Fixed }>> = {
  slices: {
    kernel: SLICES,
    fixed: { LOGITS: 'gpu/logits_own', HAS_BIAS: false, HAS_MASK: false, SUM: true },
  },
  segments: { kernel: CANDIDATES, fixed: {} },
  candidate_keys: { kernel: CANDIDATES, fixed: {} },
  candidate_masses: { kernel: CANDIDATES, fixed: {} },
  tops: { kernel: TOP_SLICES, fixed: {} },
};

/** What another kernel's twin leaves in a binding, over what this launch holds. */
function leftIn(
  name: string,
  bytes: number,
  { spec, launch, before }: { spec: ShaderSpec; launch: Launch; before: KernelCase['before'] },
): Uint8Array<ArrayBuffer> {
  const { kernel, fixed } = LEFT_BY[name]!;
  const entries = Object.entries(fixed);
  const other: ShaderSpec = {
    kernel,
    imports: Object.fromEntries(entries.filter((entry): entry is [string, string] => entry[0] === 'LOGITS')),
    constants: {
      ...spec.constants,
      ...Object.fromEntries(
        entries.filter((entry): entry is [string, boolean] => typeof entry[1] === 'boolean'),
      ),
    },
  };
  const read: TwinLaunch['bytes'] = (binding, at, count) => before.get(binding)!.buffer.slice(at, at + count);
  const made = new DataView(new ArrayBuffer(bytes));
  const twin = twinLaunch(other, { step: launch.step, items: 0, bytes: read, pick: all });
  for (const result of kernel.cpu(twin))
    for (const { binding, at, type } of placesOf(other, result))
      if (binding === name)
        if (type === 'f32') made.setFloat32(at, result.value, true);
        else made.setUint32(at, result.value, true);
  return new Uint8Array(made.buffer);
}

/** What a binding holds: random numbers, unless its name is one that has a meaning. */
function contentOf(
  name: string,
  bytes: number,
  {
    spec,
    launch,
    random,
    before,
  }: { spec: ShaderSpec; launch: Launch; random: () => number; before: KernelCase['before'] },
): Uint8Array<ArrayBuffer> {
  const { constants, imports, step, items } = launch;
  const count = bytes / 4;
  const floats = (scale = 1): Float32Array<ArrayBuffer> =>
    Float32Array.from({ length: count }, () => scale * (2 * random() - 1));
  const words = (of: (i: number) => number): Uint32Array<ArrayBuffer> =>
    Uint32Array.from({ length: count }, (_, i) => of(i));
  const below = (most: number): number => Math.floor(random() * most);
  const weight = () => {
    const dtype = (Object.keys(FORMATS) as WeightDtype[]).find(
      (key) => FORMATS[key].reader === imports.WEIGHT!.replace('gpu/', '').replace('span_', 'weight_'),
    )!;
    const cols = constants.SPANS ? constants.SPAN! * constants.SPANS : constants.UNIT! * constants.UNITS!;
    const rows = bytes / rowBytes(dtype, cols)[name === 'weight' ? 'codes' : 'scales'];
    const format = FORMATS[dtype];
    if ('encode' in format)
      return format.encode(
        Float32Array.from({ length: rows * cols }, () => 2 * random() - 1),
        cols,
      );
    const type = Object.keys(format.blocks!)[0] as BlockType;
    return packBlocks(type, randomBlocks(type, (rows * cols) / TYPES[type].values, random), cols, 'test');
  };
  const binding = spec.kernel.bindings(launch).find((one) => one.name === name)!;
  const { numbers, access } = binding;
  if (name in LEFT_BY && access === 'read' && before.has('logits'))
    return leftIn(name, bytes, { spec, launch, before });
  const shape = binding.shape(launch);
  const made = ((): ArrayBufferView<ArrayBuffer> => {
    switch (name) {
      case 'rows':
        return words((i) => rowOf(spec, i >> 2, step.rows)[i & 3]!);
      case 'next_rows':
        // Sequences backwards.
        return words((i) => [7 + (i >> 2), count / 4 - 1 - (i >> 2), 4 + (i >> 2), 2 + (i >> 2)][i & 3]!);
      case 'spans':
        // One after the other, places backwards.
        return new Uint32Array(
          packSpans(
            all(shape[0]!).map((s) => ({
              first: s,
              count: Math.min(1 + (s % 3), step.rows - s),
              place: shape[0]! - s,
              scale: 0.25 * (s + 1),
            })),
          ),
        );
      case 'samplers':
        return words((i) => {
          const sampler = { ...SAMPLERS[(i >> 3) % SAMPLERS.length]!, seed: 31 * (i >> 3) };
          return new Uint32Array(packSampler(sampler))[i & 7]!;
        });
      case 'params':
        // 60 of 64 columns, or their scales.
        return new Uint32Array([items, 64 / (32 / constants.BITS!), 60, 5]);
      case 'table': {
        const of = constants.MATRICES!;
        return words((i) => {
          const [id, matrix] = [Math.floor((i >> 2) / of), (i >> 2) % of];
          const rank = loraRank(id, matrix);
          const before = LORA_RANKS.slice(0, id - 1).reduce((sum, each) => sum + each, 0);
          // Each has an eighth of B.
          return [rank ? before : 0, rank, rank ? Math.floor((items / 8) * (id + 2 * matrix - 1)) : 0, 0][
            i & 3
          ]!;
        });
      }
      case 'chosen':
        return words((i) => [2, 0, 3][i % 3]!);
      case 'order':
      case 'runs':
        return runsOf(all(constants.ROWS!).map((row) => (row * row) % 5))[name];
      case 'tokens':
      case 'targets':
      case 'sampled':
        return words(() => below(constants.VOCAB!));
      case 'counts':
        return words(() => below(5));
      case 'mask':
        return words(() => below(2 ** 32));
      case 'row_weights':
        return floats().map((value, i) => (i % 3 === 1 ? 0 : value));
      case 'hyper': {
        const values = [0.01, 1.9, 1.1, 0.1, 0.9, 0.95, 1e-6, 1, 0.5, 3];
        return Float32Array.from({ length: count }, (_, i) => values[i] ?? 0);
      }
      case 'parts':
        return floats().map(Math.abs);
      case 'second':
        return floats().map(Math.abs);
      case 'odd':
        return words(() => 0);
      case 'weight':
        return weight().codes;
      case 'scales':
        return weight().scales!;
      case 'q':
        // Large queries make some positions matter far more than others.
        return floats(4);
      case 'slices': {
        // Of no logits: the largest, its token, the sum.
        const largest = new Uint32Array(Float32Array.from({ length: count }, () => below(40) / 8).buffer);
        return words((i) => (i % 3 === 0 ? largest[i]! : i));
      }
      case 'logits':
        // With equals.
        return floats(5).map((value) => Math.round(8 * value) / 8);
      case 'sums': {
        // Pairs of f32: high parts, then low ones; vectors are of z, then of a and of its square.
        const [z, a] = [4 * constants.STRIDE4!, 4 * constants.A_STRIDE4!];
        const plane = shape.slice(shape.indexOf(2) + 1).reduce((product, size) => product * size);
        const isLow = (i: number): boolean =>
          shape.length > 2 ? i >= plane : i < 2 * z ? i >= z : Math.floor((i - 2 * z) / a) % 2 === 1;
        return floats().map((value, i) => (isLow(i) ? value * 2 ** -26 : value));
      }
    }
    if (numbers === 'f16')
      return f32ArrayToF16(Float32Array.from({ length: bytes / 2 }, () => 2 * random() - 1));
    return numbers === 'f32' ? floats() : words(() => below(2 ** 32));
  })();
  return new Uint8Array(made.buffer, made.byteOffset, made.byteLength);
}

/** @throws where a size has no odd value */
function specOf(kernel: Kernel, fixed: Fixed, odd: Odd): ShaderSpec {
  const sizes = Object.keys(kernel.sizes).map((name) => {
    const size = SIZES[name];
    if (!size)
      throw new Error(`test/support/kernel-sizes.ts has no odd ${name}, a constant of ${kernel.name}.`);
    return [name, size({ odd, fixed, kernel })];
  });
  const entries = Object.entries(fixed);
  return {
    kernel,
    imports: Object.fromEntries(
      entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
    ),
    constants: Object.fromEntries([...sizes, ...entries.filter(([, value]) => typeof value !== 'string')]),
  };
}

/** How many bytes each binding of a launch takes. */
export function bindingBytes(kernel: Kernel, launch: Launch): Map<string, number> {
  return new Map(
    kernel
      .bindings(launch)
      .map((binding) => [
        binding.name,
        binding.shape(launch).reduce((product, size) => product * size, BYTES[binding.numbers]),
      ]),
  );
}

function caseOf(kernel: Kernel, fixed: Fixed, odd: Odd): KernelCase {
  const spec = specOf(kernel, fixed, odd);
  const rows = rowsOf({ odd, kernel, fixed });
  const most = Math.max(...all(rows).map((row) => rowOf(spec, row, rows)[2]!));
  const context = 'CONTEXT' in kernel.sizes ? Math.min(contextOf(kernel), most + 1) : most + 1;
  const step: StepShape = { rows, first: 1, count: rows - 2, next: 1, context };
  const items =
    kernel.name === 'synthesise'
      ? 130
      : kernel.name.startsWith('lora')
        ? 4096
        : kernel.name.endsWith('_loss')
          ? odd.rows
          : odd.cols;
  const random = mulberry32(7);
  const asked: Launch = { ...askedOf(spec), step, items };
  const before: KernelCase['before'] = new Map();
  for (const [name, bytes] of bindingBytes(kernel, asked)) {
    // Whole vectors, and room behind them that is nobody's.
    const padded = new Uint8Array(
      16 * Math.ceil(bytes / 16) + (name === 'q' || name === 'params' ? 0 : 16),
    ).fill(255);
    if (name === 'step') padded.set(new Uint8Array(new Uint32Array([rows, 1, rows - 2, 1]).buffer));
    else padded.set(contentOf(name, bytes, { spec, launch: asked, random, before }));
    before.set(name, padded);
  }
  const read = new Map([...before].map(([name, { length }]) => [name, new Uint8Array(length)]));
  const bytes: TwinLaunch['bytes'] = (name, at, count) => {
    if (at + count > before.get(name)!.length)
      throw new Error(`The twin of ${kernel.name} reads past ${name}.`);
    read.get(name)!.fill(1, at, at + count);
    return before.get(name)!.buffer.slice(at, at + count);
  };
  const launch = twinLaunch(spec, { step, items, bytes, pick: all });
  const results = [...kernel.cpu(launch)];
  if (results.length === 0) throw new Error(`The twin of ${kernel.name} leaves nothing.`);
  for (const [name, used] of read)
    if (name !== 'step') for (let i = 0; i < used.length; i++) if (!used[i]) before.get(name)![i] = 255;
  return { label: `${kernel.name} ${JSON.stringify(fixed)}`, spec, launch, before };
}

/**
 * Few permutations that have every alternative, or with `pairs` every two that can meet: each time the one with the most that no
 * other had.
 */
export function covering(
  kernel: Kernel,
  { pairs, fits }: { pairs: boolean; fits: (fixed: Fixed) => boolean },
) {
  const ids = new Map<string, number>();
  const idOf = (text: string): number => ids.get(text) ?? ids.set(text, ids.size).size - 1;
  const left = permutations(kernel)
    .filter(fits)
    .map((fixed) => {
      const one = Object.entries(fixed).map(([key, value]) => `${key} ${value}`);
      // A tile's shape is one alternative.
      if ('TALL' in fixed) one.push(`${fixed.TALL} by ${fixed.WIDE} by ${fixed.ACROSS}`);
      // A product's kind is one, and each way to read rows has them all.
      if ('A_TURNED' in fixed) one.push(`${fixed.ROWS ?? fixed.SUMS} ${fixed.A_TURNED} ${fixed.B_TURNED}`);
      const has = pairs ? one.flatMap((a, i) => one.slice(i).map((b) => `${a} ${b}`)) : one;
      return { fixed, has: has.map(idOf) };
    });
  const seen = new Uint8Array(ids.size);
  const freshOf = ({ has }: (typeof left)[number]): number => has.reduce((sum, id) => sum + 1 - seen[id]!, 0);
  const chosen: Fixed[] = [];
  for (;;) {
    const best = left.reduce((a, b) => (freshOf(b) > freshOf(a) ? b : a));
    if (chosen.length > 0 && freshOf(best) === 0) return chosen;
    chosen.push(best.fixed);
    for (const id of best.has) seen[id] = 1;
  }
}

/** Sizes whose heads are read by these vectors, and rotated by whole ones. */
function fitting(fixed: Fixed, all: readonly Odd[]): readonly Odd[] {
  const { KV_READ } = fixed;
  const wide = KV_READ === 'gpu/kv_vector_f16';
  const four = KV_READ === 'gpu/kv_vector_f16_four';
  const made = (odd: Odd): Odd => {
    if (odd.headDim >= 24 || !(wide || writesOwn(fixed))) return odd;
    return { ...odd, headDim: 8 * Math.ceil(odd.headDim / 8) + (four ? 64 : 0) };
  };
  // Of tiles, four dimensions a thread.
  const most = fixed.TILE && fixed.WG === 32 ? 128 : 256;
  return all
    .map(made)
    .filter(
      ({ headDim }) => headDim <= most && (!(wide || four) || keySize(headDim, true) === (wide ? 8 : 4)),
    );
}

const MOST_THREADS: Record<string, number> = { 'gpu/attention_tile_f32': 64, 'gpu/attention_tile_f16': 128 };

/** A permutation with each of the odd sizes, or with one of them. */
export function kernelCases(kernel: Kernel, fixed: Fixed, only?: number): KernelCase[] {
  const [, most = 0] = kernel.sizes.HEAD_DIM ?? [];
  // Half of them for each way to keep K and V, but where wider heads are gone over otherwise.
  const half = /_f16$/.test(String(fixed.KV_READ)) ? 1 : 0;
  const every = kernel.name === 'attention_tiled' || /vector_f16/.test(String(fixed.KV_READ));
  const heads = HEADS.filter(({ headDim }, i) => headDim! <= most && (every || i % 2 === half));
  const more = fixed.KV_READ || longer(kernel) ? heads.map((shape) => ({ ...ODD[0]!, ...shape })) : [];
  const all = only === undefined ? [...ODD, ...more] : [ODD[only % ODD.length]!];
  // Each norm of q and k has a few of the sizes: a software adapter takes seconds to compile one.
  const norms = Number(fixed.NORM) + Number(fixed.NORM_GAIN) + Number(fixed.WHOLE);
  return (
    fitting(fixed, all)
      .filter((_, i) => !writesOwn(fixed) || only !== undefined || i % 4 === norms)
      // Tiles of fewer threads are the same text with other sizes.
      .filter(
        (_, i) =>
          !fixed.TILE || only !== undefined || fixed.WG === MOST_THREADS[`${fixed.TILE}`] || i % 3 === 0,
      )
      .map((odd) => caseOf(kernel, fixed, odd))
  );
}

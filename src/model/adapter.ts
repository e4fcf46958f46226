// A LoRA adapter in peft's layout, held against the model that it is for: `W x + scale * B (A x)` in the place of `W x`.
import { ShishuError, throwIfAborted } from '../errors.ts';
import { bytesToF32 } from '../formats/float.ts';
import { readJson } from '../formats/json.ts';
import { readHeader } from '../formats/safetensors.ts';
import type { Source } from '../formats/source.ts';
import type { TensorEntry } from '../formats/tensor-entry.ts';
import { ADAPTER_CONFIG, type AdapterConfig, adapterConfigOf, isNamed } from './adapter-config.ts';
import type { Matrix, ModelSpec } from './spec.ts';

const WEIGHTS = 'adapter_model.safetensors';
const PREFIX = 'base_model.model.';

/** What projections share an input, and so one launch: q, k and v; what follows attention; both of a convolution; gate and up; down. */
export type ProjectionName = 'qkv' | 'out' | 'convIn' | 'convOut' | 'gateUp' | 'down';

/** Where rows of a module's outputs go: to the matrix of a projection of a layer. */
export interface Place {
  layer: number;
  projection: ProjectionName;
  /** Which of the projection's matrices it is. */
  index: number;
  matrix: Matrix;
  /** The first of the module's outputs that is the matrix's. */
  row: number;
}

/** A matrix as a checkpoint stores it: what an adapter calls a module. */
export interface Module {
  /** Its own, and those of blocks that share it. */
  names: string[];
  /** Outputs and inputs. */
  rows: number;
  cols: number;
  places: Place[];
}

/** What an adapter adds to one module. */
export interface LowRank {
  module: Module;
  rank: number;
  scale: number;
  /** `(rank, cols)` */
  A: Float32Array<ArrayBuffer>;
  /** `(rows, rank)` */
  B: Float32Array<ArrayBuffer>;
}

export interface Adapter {
  /** The largest of its modules' ranks. */
  rank: number;
  /** Last parts of its modules' names. */
  targets: string[];
  parts: LowRank[];
}

/** Modules of a model that adapters may be of: all but embedding and head. */
export function modulesOf({ blocks }: ModelSpec): Module[] {
  const modules = new Map<string, Module>();
  const add = (layer: number, projection: ProjectionName, matrices: readonly Matrix[]): void => {
    for (const [index, matrix] of matrices.entries()) {
      const { name, row, rows } = matrix.within ?? { ...matrix, row: 0 };
      const module = modules.get(name) ?? { names: [name], rows, cols: matrix.cols, places: [] };
      module.places.push({ layer, projection, index, matrix, row });
      modules.set(name, module);
    }
  };
  const stored = ({ name, within }: Matrix): string => within?.name ?? name;
  for (const [layer, { mixer, feedForward }] of blocks.entries()) {
    if (mixer.kind === 'attention') {
      add(layer, 'qkv', [mixer.q, mixer.k, mixer.v]);
      add(layer, 'out', [mixer.out]);
    }
    if (mixer.kind === 'conv') {
      add(layer, 'convIn', [mixer.in]);
      add(layer, 'convOut', [mixer.out]);
    }
    const { owner, gate, up, down } = feedForward;
    if (owner === layer) {
      add(layer, 'gateUp', [gate, up]);
      add(layer, 'down', [down]);
    } else {
      const first = blocks[owner]!.feedForward;
      for (const which of ['gate', 'up', 'down'] as const) {
        const { names } = modules.get(stored(first[which]))!;
        if (!names.includes(stored(feedForward[which]))) names.push(stored(feedForward[which]));
      }
    }
  }
  return [...modules.values()];
}

type Factor = 'lora_A' | 'lora_B';

const tensorName = (module: string, factor: Factor): string => `${PREFIX}${module}.${factor}.weight`;

const list = (names: readonly string[]): string =>
  names
    .slice(0, 3)
    .map((name) => `"${name}"`)
    .join(', ') + (names.length > 3 ? ` and ${names.length - 3} more` : '');

function bad(message: string, details: Record<string, string | number | readonly number[]>, mend?: string) {
  return new ShishuError('bad-checkpoint', `${WEIGHTS}: ${message}`, {
    details: { file: WEIGHTS, ...details },
    mend,
  });
}

/** Refuses by name what is no low-rank part of a module that the config names. */
function checkNames(
  found: Iterable<string>,
  wanted: ReadonlySet<string>,
  { embedding, head }: ModelSpec,
): void {
  const extra = [...found].filter((name) => !wanted.has(name));
  const [first] = extra;
  if (first === undefined) return;
  const other = [
    [/\.lora_magnitude_vector/, 'DoRA'],
    [/\.lora_embedding_[AB]/, 'an adapter of the embedding'],
    [/\.modules_to_save\./, 'a whole module'],
    [/\.lora_[AB]\.bias$|(?<!lora_[AB])\.bias$/, 'a bias'],
  ] as const;
  const what =
    other.find(([sign]) => sign.test(first))?.[1] ??
    ([embedding.name, head.name].some((name) => first.startsWith(`${PREFIX}${name}.`))
      ? 'of the embedding or the head'
      : undefined);
  if (what)
    throw new ShishuError(
      'unsupported',
      `${WEIGHTS}: tensor "${first}" is ${what}, which is not supported.`,
      {
        details: { file: WEIGHTS, tensor: first },
        mend: 'Merge the adapter into its model with peft (merge_and_unload).',
      },
    );
  throw bad(
    `the model, or ${ADAPTER_CONFIG}, has no place for ${list(extra)}.`,
    { tensor: first, count: extra.length },
    'The adapter may be of another model.',
  );
}

/** Refuses by name what the config asks for and the model or this engine has not. */
function checkListed(
  config: AdapterConfig,
  modules: readonly Module[],
  { embedding, head }: ModelSpec,
): void {
  for (const name of config.listed ?? []) {
    if (modules.some(({ names }) => names.some((module) => isNamed(module, name)))) continue;
    if ([embedding, head].some((matrix) => isNamed(matrix.name, name)))
      throw new ShishuError(
        'unsupported',
        `${ADAPTER_CONFIG}: "target_modules" names "${name}": adapters of the embedding and the head are not supported.`,
        {
          details: { file: ADAPTER_CONFIG, field: 'target_modules' },
          mend: 'Merge the adapter into its model with peft (merge_and_unload).',
        },
      );
  }
}

/**
 * Reads an adapter's folder (`adapter_config.json`, `adapter_model.safetensors`) for a model.
 * @throws ShishuError `not-found`, `io`, `bad-config`, `bad-checkpoint` (naming the tensor and both shapes), `unsupported`
 */
export async function readAdapter(source: Source, spec: ModelSpec, signal?: AbortSignal): Promise<Adapter> {
  const [json, { tensors }] = await Promise.all([
    readJson(source, ADAPTER_CONFIG, { code: 'bad-config' }, signal),
    readHeader(source, WEIGHTS, signal),
  ]).catch((error: unknown) => {
    throw withoutAdapter(error);
  });
  const config = adapterConfigOf(json);
  const all = modulesOf(spec);
  checkListed(config, all, spec);
  const modules = all.filter(({ names }) => names.some(config.targets));
  const wanted = modules.flatMap(({ names }) =>
    names.flatMap((name) => [tensorName(name, 'lora_A'), tensorName(name, 'lora_B')]),
  );
  checkNames(tensors.keys(), new Set(wanted), spec);
  if (modules.length === 0)
    throw new ShishuError('bad-config', `${ADAPTER_CONFIG}: "target_modules" names no module of the model.`, {
      details: { file: ADAPTER_CONFIG, field: 'target_modules' },
      mend: mendOf(config),
    });
  const reader = new Reader(source, tensors, config, signal);
  const parts = await Promise.all(modules.map((module) => reader.part(module)));
  return {
    rank: Math.max(...parts.map(({ rank }) => rank)),
    targets: [...new Set(modules.map(({ names }) => names[0]!.split('.').at(-1)!))],
    parts,
  };
}

const mendOf = ({ base }: AdapterConfig): string =>
  `The adapter ${base === undefined ? 'may be of another model' : `says it is of ${base}`}.`;

/** Older adapters are pickled. */
function withoutAdapter(error: unknown): unknown {
  if (!(error instanceof ShishuError) || error.code !== 'not-found') return error;
  return new ShishuError('not-found', error.message, {
    details: error.details,
    mend: `An adapter is a folder of ${ADAPTER_CONFIG} and ${WEIGHTS}; an adapter_model.bin is to be saved anew by peft.`,
    cause: error,
  });
}

/** Reads the factors of modules, and checks them. */
class Reader {
  readonly #source: Source;
  readonly #tensors: ReadonlyMap<string, TensorEntry>;
  readonly #config: AdapterConfig;
  readonly #signal: AbortSignal | undefined;

  constructor(
    source: Source,
    tensors: ReadonlyMap<string, TensorEntry>,
    config: AdapterConfig,
    signal: AbortSignal | undefined,
  ) {
    this.#source = source;
    this.#tensors = tensors;
    this.#config = config;
    this.#signal = signal;
  }

  async part(module: Module): Promise<LowRank> {
    const { rows, cols, names } = module;
    // Of a shared module peft stores the names of all its blocks, or of one.
    const there = names.filter((name) => this.#tensors.has(tensorName(name, 'lora_A')));
    const [name = names[0]!, ...copies] = there;
    const rank = this.#config.rankOf(name);
    const scale = this.#config.scaleOf(name);
    const [A, B] = await Promise.all([
      this.#values(name, 'lora_A', [rank, cols]),
      this.#values(name, 'lora_B', [rows, rank]),
    ]);
    for (const copy of copies)
      for (const [factor, first, shape] of [
        ['lora_A', A, [rank, cols]],
        ['lora_B', B, [rows, rank]],
      ] as const) {
        const again = await this.#values(copy, factor, shape);
        if (again.some((value, i) => value !== first[i]))
          throw bad(
            `tensor "${tensorName(copy, factor)}" differs from "${tensorName(name, factor)}", whose module is the same.`,
            { tensor: tensorName(copy, factor), copyOf: tensorName(name, factor) },
          );
      }
    return { module, rank, scale, A, B };
  }

  async #values(
    module: string,
    factor: Factor,
    shape: readonly number[],
  ): Promise<Float32Array<ArrayBuffer>> {
    const name = tensorName(module, factor);
    const entry = this.#tensors.get(name);
    if (!entry)
      throw bad(`tensor "${name}" is missing.`, { tensor: name }, 'The file may be of another adapter.');
    const { dtype, start, end } = entry;
    if (entry.shape.join() !== shape.join())
      throw bad(
        `tensor "${name}" has shape [${entry.shape}], the model and ${ADAPTER_CONFIG} ask for [${shape}].`,
        { tensor: name, found: entry.shape, expected: shape },
        mendOf(this.#config),
      );
    if (dtype !== 'F32' && dtype !== 'F16' && dtype !== 'BF16')
      throw new ShishuError('unsupported', `${WEIGHTS}: tensor "${name}" is ${dtype}.`, {
        details: { file: WEIGHTS, tensor: name, dtype },
        mend: 'Supported: F32, F16, BF16.',
      });
    const bytes = await this.#source.read(WEIGHTS, start, end, this.#signal);
    throwIfAborted(this.#signal);
    const values = bytesToF32(bytes, dtype);
    const odd = values.findIndex((value) => !Number.isFinite(value));
    if (odd >= 0)
      throw bad(`element ${odd} of tensor "${name}" is ${values[odd]}.`, { tensor: name, index: odd });
    return values;
  }
}

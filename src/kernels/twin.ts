// Running a kernel's CPU twin, and holding what the kernel left against it.
import { f16ToF32 } from '../formats/float.ts';
import { askedOf, type NumberType, type Result, type ShaderSpec, type TwinLaunch } from '../gpu/kernel.ts';

/** Bytes of a number. */
export const BYTES: Record<NumberType, number> = { f32: 4, f16: 2, u32: 4, u8: 1 };

/** Largest share of a result's scale that a pair of f32 may be off. */
const PAIR_TOLERANCE = 2 ** -42;

/** All of `count` things. */
export const all = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** The first and the last of `count` things. */
export function ends(count: number, most = 8): number[] {
  if (count <= most) return all(count);
  return all(most).map((i) => (i < most / 2 ? i : count - most + i));
}

const types = new WeakMap<ShaderSpec, ReadonlyMap<string, NumberType>>();

/** What the numbers of a shader's bindings are. */
function typesOf(shader: ShaderSpec): ReadonlyMap<string, NumberType> {
  let found = types.get(shader);
  if (!found) {
    const bindings = shader.kernel.bindings(askedOf(shader));
    found = new Map(bindings.map(({ name, numbers }) => [name, numbers]));
    types.set(shader, found);
  }
  return found;
}

/** A launch for its twin; `bytes` reads a binding as it was before. */
export function twinLaunch(
  shader: ShaderSpec,
  { step, items, bytes, pick }: Pick<TwinLaunch, 'step' | 'items' | 'bytes' | 'pick'>,
): TwinLaunch {
  const numbers = typesOf(shader);
  return {
    ...askedOf(shader),
    step,
    items,
    pick,
    bytes,
    words: (name, at, count) => new Uint32Array(bytes(name, 4 * at, 4 * count)),
    floats: (name, at, count) =>
      numbers.get(name) === 'f16'
        ? Float32Array.from(new Uint16Array(bytes(name, 2 * at, 2 * count)), f16ToF32)
        : new Float32Array(bytes(name, 4 * at, 4 * count)),
  };
}

/** One number of a result: where it is, and what it is. */
export interface Place {
  binding: string;
  /** Bytes. */
  at: number;
  size: number;
  type: NumberType;
}

/** The numbers that make a result: one, or two whose sum it is. */
export function placesOf(shader: ShaderSpec, result: Result): Place[] {
  const type = result.as ?? typesOf(shader).get(result.binding)!;
  const size = BYTES[type];
  const numbers = result.low === undefined ? [result.at] : [result.at, result.low];
  return numbers.map((at) => ({ binding: result.binding, at: at * size, size, type }));
}

function numberOf(type: NumberType, bytes: ArrayBuffer): number {
  if (type === 'f16') return f16ToF32(new Uint16Array(bytes)[0]!);
  const Numbers = { f32: Float32Array, u32: Uint32Array, u8: Uint8Array }[type];
  return new Numbers(bytes)[0]!;
}

/** A result that is not what it should be. */
export interface Mismatch extends Result {
  found: number;
}

/**
 * Results of a launch that are wrong.
 * @param after reads a number as it is after the launch
 * @param tolerance largest error of a result as a share of its scale
 */
export function* mismatches(
  shader: ShaderSpec,
  launch: TwinLaunch,
  after: (place: Place) => ArrayBuffer,
  tolerance: number,
): Iterable<Mismatch> {
  for (const result of shader.kernel.cpu(launch)) {
    const { value, scale, low } = result;
    // What is no number says nothing of the kernel.
    if (!Number.isFinite(value)) continue;
    const places = placesOf(shader, result);
    const { type } = places[0]!;
    const found = places.reduce((sum, place) => sum + numberOf(type, after(place)), 0);
    const size = Math.abs(value);
    let slack = low === undefined ? tolerance * scale + 1e-6 * size : PAIR_TOLERANCE * scale;
    // Some GPUs round f16 down, or make small ones zero.
    if (type === 'f16') slack += 2 ** -10 * size + 2 ** -14;
    if (type === 'u32') slack = 0;
    if (!(Math.abs(found - value) <= slack)) yield { ...result, found };
  }
}

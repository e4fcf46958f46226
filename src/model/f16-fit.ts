/** f16's largest value with what rounds to it, its smallest normal value, and the step of the values below that. */
const OVER = 65520;
const NORMAL = 2 ** -14;
const STEP = 2 ** -24;
/** Largest share of a tensor's summed squares that rounding to f16 may lose: as much as one value's rounding to bf16. */
const MOST_LOST = 2 ** -18;

/**
 * Which tensors f16 holds: no finite value is past its largest, and what tiny values lose is nothing beside the others. bf16
 * has fewer digits than f16, so all else is exact.
 */
export class F16Fit {
  readonly #tensors = new Map<string, { squares: number; lost: number; over: boolean }>();

  /** Takes in values of a tensor; false: one of them is past f16. */
  add(tensor: string, values: Float32Array): boolean {
    const of = this.#tensors.get(tensor) ?? { squares: 0, lost: 0, over: false };
    this.#tensors.set(tensor, of);
    let { squares, lost, over } = of;
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!;
      const size = Math.abs(value);
      if (size >= OVER && size < Number.POSITIVE_INFINITY) over = true;
      squares += value * value;
      if (size < NORMAL) {
        const rounding = size - STEP * Math.round(size / STEP);
        lost += rounding * rounding;
      }
    }
    Object.assign(of, { squares, lost, over });
    return !over;
  }

  /** Tensors of those seen that f16 does not hold. */
  get misfits(): string[] {
    return [...this.#tensors].flatMap(([name, { squares, lost, over }]) =>
      over || lost > MOST_LOST * squares ? [name] : [],
    );
  }
}

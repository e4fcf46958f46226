/**
 * The assignment of columns to rows of a square cost matrix that costs least: `result[row]` is its column. Shortest augmenting
 * paths with potentials (the Hungarian method), O(n^3).
 * @param cost `(n, n)` row-major, finite
 */
export function assign(cost: Float32Array | Float64Array, n: number): Int32Array {
  // Row and column 0 are a virtual start; real ones are counted from 1.
  const rowPotential = new Float64Array(n + 1);
  const colPotential = new Float64Array(n + 1);
  const rowOf = new Int32Array(n + 1);
  const cameFrom = new Int32Array(n + 1);
  for (let row = 1; row <= n; row++) {
    const least = new Float64Array(n + 1).fill(Number.POSITIVE_INFINITY);
    const used = new Uint8Array(n + 1);
    rowOf[0] = row;
    let col = 0;
    do {
      used[col] = 1;
      const at = rowOf[col]!;
      let delta = Number.POSITIVE_INFINITY;
      let next = 0;
      for (let j = 1; j <= n; j++) {
        if (used[j]) continue;
        const reduced = cost[(at - 1) * n + j - 1]! - rowPotential[at]! - colPotential[j]!;
        if (reduced < least[j]!) {
          least[j] = reduced;
          cameFrom[j] = col;
        }
        if (least[j]! < delta) {
          delta = least[j]!;
          next = j;
        }
      }
      for (let j = 0; j <= n; j++)
        if (used[j]) {
          rowPotential[rowOf[j]!]! += delta;
          colPotential[j]! -= delta;
        } else least[j]! -= delta;
      col = next;
    } while (rowOf[col] !== 0);
    while (col !== 0) {
      const before = cameFrom[col]!;
      rowOf[col] = rowOf[before]!;
      col = before;
    }
  }
  const result = new Int32Array(n);
  for (let j = 1; j <= n; j++) result[rowOf[j]! - 1] = j - 1;
  return result;
}

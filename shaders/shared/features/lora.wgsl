// What the adapter of a row adds to one output of a projection: a row of B times A x, which `t` holds for all adapters. `table`
// says of each adapter and matrix where its part of t is, its rank, and where its rows of B begin, all in vectors of four; the
// first entry is of no adapter, with rank 0.

fn lora(row: u32, matrix: u32, output: u32) -> f32 {
  let at = table[chosen[rows[row].sequence] * MATRICES + matrix];
  let own = row * T_STRIDE4 + at.x;
  let weight = at.z + output * at.y;
  var sum = 0.0;
  for (var i = 0u; i < at.y; i++) {
    sum += dot(b[weight + i], t[own + i]);
  }
  return sum;
}

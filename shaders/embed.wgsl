// Embedding rows: out (rows, hidden) = weight[token]. A split table is read by one dispatch a part: rows ROW0 up.
#import step
#import WEIGHT

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let row = id.y;
  let u = id.x;
  if (row >= step.rows || u >= UNITS) {
    return;
  }
  let token = rows[row].token;
  if (token < ROW0 || token >= ROW0 + N) {
    return;
  }
  let unit = weight_unit((token - ROW0) * UNITS + u);
  out[row * X_STRIDE4 + UNIT4 * u] = FACTOR * unit.a;
  if (UNIT4 > 1u) {
    out[row * X_STRIDE4 + UNIT4 * u + 1u] = FACTOR * unit.b;
  }
}

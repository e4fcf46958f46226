// Sums of columns over each SLICE rows: out (slices, COLS), or added to what is there (ADD). PRODUCT: of x * y * row_scales by row.
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let column = id.x;
  if (column >= COLS) {
    return;
  }
  var sum = 0.0;
  for (var row = id.y * SLICE; row < min(ROWS, (id.y + 1u) * SLICE); row++) {
    let at = row * COLS + column;
    if (PRODUCT) {
      sum += x[at] * y[at] * row_scales[row];
    } else {
      sum += x[at];
    }
  }
  let at = id.y * COLS + column;
  if (ADD) {
    sum += out[at];
  }
  out[at] = sum;
}

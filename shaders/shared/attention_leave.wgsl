#import attention_out

// Leaves dimension block d of a head; `sum` is of weights exp(score - largest).
fn leave(row: u32, head: u32, part: u32, d: u32, value: vec4f, largest: f32, sum: f32, count: u32) {
  if (count == 1u) {
    out[row * OUT_STRIDE4 + head * DIM4 + d] = value / sum;
    return;
  }
  let at = part_at(row, head, part);
  parts[at + d] = value;
  if (d == 0u) {
    parts[at + DIM4] = vec4f(largest, sum, 0.0, 0.0);
  }
}

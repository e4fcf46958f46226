// Adds up the parts that attention left of each split: out = sum(part * exp(largest - overall)) / sum(weights).
#import step
#import plain/attention_splits

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let row = id.y;
  let head = id.x / DIM4;
  let d = id.x % DIM4;
  let splits = split_count(rows[row].position);
  if (head >= HEADS || splits == 1u || rows[row].position >= CONTEXT) {
    return;
  }
  let first = first_split(rows[row].position);
  var overall = -3.0e38;
  for (var s = first; s < splits; s++) {
    overall = max(overall, parts[part_at(row, head, s) + DIM4].x);
  }
  var value = vec4f();
  var sum = 0.0;
  for (var s = first; s < splits; s++) {
    let at = part_at(row, head, s);
    let scale = exp(parts[at + DIM4].x - overall);
    value += parts[at + d] * scale;
    sum += parts[at + DIM4].y * scale;
  }
  out[row * OUT_STRIDE4 + head * DIM4 + d] = value / sum;
}

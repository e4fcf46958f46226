// What an attention kernel leaves: the output itself, or with several splits of the sequence one part each, which
// attention_reduce adds up.

const DIM4 = HEAD_DIM / 4u;
const GROUP = HEADS / KV_HEADS;
// Query heads of one KV head go four at a time, in the components of a vec4.
const QUADS = (GROUP + 3u) / 4u;

// The splits that a row at this position has.
fn split_count(position: u32) -> u32 {
  return position / SPLIT + 1u;
}

// The first position that a row at this one attends to, and the split that it is in.
fn first_seen(position: u32) -> u32 {
  return position + 1u - min(position + 1u, WINDOW);
}

fn first_split(position: u32) -> u32 {
  return first_seen(position) / SPLIT;
}

fn part_at(row: u32, head: u32, split: u32) -> u32 {
  return ((row * HEADS + head) * SPLITS + split) * (DIM4 + 1u);
}

// Leaves dimension block d of a head; `sum` is of weights exp(score - largest).
fn leave(row: u32, head: u32, split: u32, d: u32, value: vec4f, largest: f32, sum: f32, splits: u32) {
  if (splits == 1u) {
    out[row * OUT_STRIDE4 + head * DIM4 + d] = value / sum;
    return;
  }
  let at = part_at(row, head, split);
  parts[at + d] = value;
  if (d == 0u) {
    parts[at + DIM4] = vec4f(largest, sum, 0.0, 0.0);
  }
}

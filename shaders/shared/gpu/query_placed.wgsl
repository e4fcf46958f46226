// A query that is rotated already, and all of K and V in the cache.

fn prepare(row: u32, head: u32, lid: u32) {
  if (lid < DIM4) {
    query[lid] = q[row * Q_STRIDE4 + head * DIM4 + lid];
  }
}

fn scale_ready(lid: u32) {}

fn score_scale(lid: u32) -> f32 {
  return inverseSqrt(f32(HEAD_DIM));
}

// The end of what is in the cache.
fn cached(end: u32, position: u32) -> u32 {
  return end;
}

fn completed(left: Left, at: Row, row: u32, head: u32, lid: u32) -> Left {
  return left;
}

// A second block would have half of the loads.
fn hold_half() {}

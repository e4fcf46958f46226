// A query that is rotated already, and K and V in the cache.

fn prepare(row: u32, head: u32, lid: u32) {
  if (lid < DIM4) {
    query[lid] = q[row * Q_STRIDE4 + head * DIM4 + lid];
  }
}

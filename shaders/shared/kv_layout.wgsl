// Layout of a block's KV cache, in elements. K: (sequence, KV head, HEAD_DIM / 4, position, 4), so that neighbouring positions
// are neighbours in memory for the scores; V: (sequence, KV head, position, HEAD_DIM), so that neighbouring dimensions are,
// for the weighted sum. V follows K.
fn k_element(sequence: u32, head: u32, position: u32, dim: u32) -> u32 {
  return (((sequence * KV_HEADS + head) * (HEAD_DIM / 4u) + dim / 4u) * CONTEXT + position) * 4u + dim % 4u;
}

fn v_element(sequence: u32, head: u32, position: u32, dim: u32) -> u32 {
  return ((SEQUENCES * KV_HEADS + sequence * KV_HEADS + head) * CONTEXT + position) * HEAD_DIM + dim;
}

// Layout of a block's KV cache, in elements. K: (sequence, KV head, HEAD_DIM / 4, slot, 4), so that neighbouring positions
// are neighbours in memory for the scores; V: (sequence, KV head, slot, HEAD_DIM), so that neighbouring dimensions are,
// for the weighted sum. V follows K.
fn k_element(sequence: u32, head: u32, slot: u32, dim: u32) -> u32 {
  return (((sequence * KV_HEADS + head) * (HEAD_DIM / 4u) + dim / 4u) * CAPACITY + slot) * 4u + dim % 4u;
}

fn v_element(sequence: u32, head: u32, slot: u32, dim: u32) -> u32 {
  return ((SEQUENCES * KV_HEADS + sequence * KV_HEADS + head) * CAPACITY + slot) * HEAD_DIM + dim;
}

// Where a position is. Of fewer slots than the context, for a block with a window, each position takes the place of the one
// CAPACITY before it.
fn kv_slot(position: u32) -> u32 {
  if (CAPACITY < CONTEXT) {
    return position % CAPACITY;
  }
  return position;
}

fn kv_slots(position: vec4<u32>) -> vec4<u32> {
  if (CAPACITY < CONTEXT) {
    return position % CAPACITY;
  }
  return position;
}

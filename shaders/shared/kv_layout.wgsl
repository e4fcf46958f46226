// Layout of a block's KV cache, in elements. K: (sequence, KV head, HEAD_DIM / KEY, slot, KEY), so that neighbouring positions
// are neighbours in memory for the scores, KEY elements of a position in 16 bytes; V: (sequence, KV head, slot, HEAD_DIM), so
// that neighbouring dimensions are, for the weighted sum. V follows K.
const KEY4 = KEY / 4u;

fn k_element(sequence: u32, head: u32, slot: u32, dim: u32) -> u32 {
  return (((sequence * KV_HEADS + head) * (HEAD_DIM / KEY) + dim / KEY) * CAPACITY + slot) * KEY + dim % KEY;
}

fn v_element(sequence: u32, head: u32, slot: u32, dim: u32) -> u32 {
  return ((SEQUENCES * KV_HEADS + sequence * KV_HEADS + head) * CAPACITY + slot) * HEAD_DIM + dim;
}

// Where four dimensions d of a slot are in a head's K, in fours.
fn k_four(d: u32, slot: u32) -> u32 {
  return (d / KEY4 * CAPACITY + slot) * KEY4 + d % KEY4;
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

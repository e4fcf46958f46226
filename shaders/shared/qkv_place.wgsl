// Rotates q and k (rotate-half) and puts q, k, v where attention reads them.
#import kv_layout
#import KV_WRITE

// `value` holds dimensions j, j + 1, j + HEAD_DIM / 2, j + HEAD_DIM / 2 + 1 of a head; heads are q's, then k's, then v's.
fn place(row: u32, head: u32, j: u32, value: vec4f) {
  let at = rows[row];
  if (at.position >= CONTEXT) {
    return;
  }
  let half = HEAD_DIM / 2u;
  var low = value.xy;
  var high = value.zw;
  if (head < HEADS + KV_HEADS) {
    let angle = rope[(at.position * half + j) / 2u];
    low = value.xy * angle.xz - value.zw * angle.yw;
    high = value.zw * angle.xz + value.xy * angle.yw;
  }
  if (head < HEADS) {
    let to = row * Q_STRIDE + head * HEAD_DIM + j;
    q[to / 2u] = low;
    q[(to + half) / 2u] = high;
  } else if (head < HEADS + KV_HEADS) {
    let slot = kv_slot(at.position);
    kv_store(at.sequence, k_element(at.sequence, head - HEADS, slot, j), low);
    kv_store(at.sequence, k_element(at.sequence, head - HEADS, slot, j + half), high);
  } else {
    let to = v_element(at.sequence, head - HEADS - KV_HEADS, kv_slot(at.position), j);
    kv_store(at.sequence, to, low);
    kv_store(at.sequence, to + half, high);
  }
}

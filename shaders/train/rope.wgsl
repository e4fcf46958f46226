// Rotary embeddings of x (ROWS, HEADS, 2, HALF) in place; rows are windows of LENGTH. BACK: turned back, for gradients.
// turns (LENGTH, HALF, 2): cos and sin.
@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let i = (wid.y * groups.x + wid.x) * WG + lid;
  if (i >= ROWS * HEADS * HALF) {
    return;
  }
  let pair = i % HALF;
  let vector = i / HALF;
  let position = (vector / HEADS) % LENGTH;
  let turn = (position * HALF + pair) * 2u;
  let at = vector * 2u * HALF + pair;
  let cosine = turns[turn];
  let sine = select(turns[turn + 1u], -turns[turn + 1u], BACK);
  let a = x[at];
  let b = x[at + HALF];
  x[at] = a * cosine - b * sine;
  x[at + HALF] = b * cosine + a * sine;
}

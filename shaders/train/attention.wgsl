// Causal grouped-query attention of windows of LENGTH rows, a thread a row and head: out (ROWS, HEADS, D4 * 4); q as out, k and v
// (ROWS, KV_HEADS, D4 * 4). log_sums (ROWS, HEADS): logarithms of the sums of exponentials, for the backward. Threads of a workgroup
// go over the rows of their window together, so that each read is one for all.
@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let head = wid.y;
  let kv_head = head / (HEADS / KV_HEADS);
  let first = wid.z * LENGTH;
  let place = wid.x * WG + lid;
  let row = first + min(place, LENGTH - 1u);
  let own = (row * HEADS + head) * D4;
  var query: array<vec4f, D4>;
  var total: array<vec4f, D4>;
  for (var i = 0u; i < D4; i++) {
    query[i] = q[own + i] * SCALE;
    total[i] = vec4f();
  }
  var largest = -3e38;
  var sum = 0.0;
  for (var other = 0u; other < min(LENGTH, (wid.x + 1u) * WG); other++) {
    let at = ((first + other) * KV_HEADS + kv_head) * D4;
    var products = vec4f();
    for (var i = 0u; i < D4; i++) {
      products += query[i] * k[at + i];
    }
    let score = select(-3e38, dot(products, vec4f(1.0)), other <= place);
    if (score > largest) {
      let less = exp(largest - score);
      sum *= less;
      for (var i = 0u; i < D4; i++) {
        total[i] *= less;
      }
      largest = score;
    }
    let share = exp(score - largest);
    sum += share;
    for (var i = 0u; i < D4; i++) {
      total[i] += share * v[at + i];
    }
  }
  if (place < LENGTH) {
    for (var i = 0u; i < D4; i++) {
      out[own + i] = total[i] / sum;
    }
    log_sums[row * HEADS + head] = largest + log(sum);
  }
}

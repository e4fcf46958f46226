// Causal grouped-query attention of windows of LENGTH rows, a thread a row and head: out (ROWS, HEADS, D4 * 4); q as out, k and v
// (ROWS, KV_HEADS, D4 * 4). log_sums (ROWS, HEADS): logarithms of the log_sums of exponentials, for the backward.
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let row = id.x;
  let head = id.y;
  if (row >= ROWS) {
    return;
  }
  let kv_head = head / (HEADS / KV_HEADS);
  let own = (row * HEADS + head) * D4;
  var query: array<vec4f, D4>;
  var total: array<vec4f, D4>;
  for (var i = 0u; i < D4; i++) {
    query[i] = q[own + i] * SCALE;
    total[i] = vec4f();
  }
  var largest = -3e38;
  var sum = 0.0;
  for (var other = row - row % LENGTH; other <= row; other++) {
    let at = (other * KV_HEADS + kv_head) * D4;
    var products = vec4f();
    for (var i = 0u; i < D4; i++) {
      products += query[i] * k[at + i];
    }
    let score = dot(products, vec4f(1.0));
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
  for (var i = 0u; i < D4; i++) {
    out[own + i] = total[i] / sum;
  }
  log_sums[row * HEADS + head] = largest + log(sum);
}

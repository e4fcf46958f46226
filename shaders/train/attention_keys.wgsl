// Backward of attention to its keys and values, a thread a row and KV head: dk and dv (ROWS, KV_HEADS, D4 * 4), of the rows of the
// window from its own on and of the heads that share it, in their order.
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let row = id.x;
  let kv_head = id.y;
  if (row >= ROWS) {
    return;
  }
  let own = (row * KV_HEADS + kv_head) * D4;
  var key: array<vec4f, D4>;
  var value: array<vec4f, D4>;
  var key_total: array<vec4f, D4>;
  var value_total: array<vec4f, D4>;
  for (var i = 0u; i < D4; i++) {
    key[i] = k[own + i] * SCALE;
    value[i] = v[own + i];
    key_total[i] = vec4f();
    value_total[i] = vec4f();
  }
  let end = row - row % LENGTH + LENGTH;
  for (var other = row; other < end; other++) {
    for (var head = kv_head * (HEADS / KV_HEADS); head < (kv_head + 1u) * (HEADS / KV_HEADS); head++) {
      let at = (other * HEADS + head) * D4;
      var scores = vec4f();
      var slopes = vec4f();
      for (var i = 0u; i < D4; i++) {
        scores += key[i] * q[at + i];
        slopes += value[i] * dy[at + i];
      }
      let share = exp(dot(scores, vec4f(1.0)) - log_sums[other * HEADS + head]);
      let by = share * (dot(slopes, vec4f(1.0)) - deltas[other * HEADS + head]) * SCALE;
      for (var i = 0u; i < D4; i++) {
        key_total[i] += by * q[at + i];
        value_total[i] += share * dy[at + i];
      }
    }
  }
  for (var i = 0u; i < D4; i++) {
    dk[own + i] = key_total[i];
    dv[own + i] = value_total[i];
  }
}

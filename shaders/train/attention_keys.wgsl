// Backward of attention to its keys and values, a thread a row and KV head: dk and dv (ROWS, KV_HEADS, D4 * 4), of the rows of the
// window from its own on and of the heads that share it, in their order. Threads of a workgroup go over them together.
@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let kv_head = wid.y;
  let first = wid.z * LENGTH;
  let place = wid.x * WG + lid;
  let row = first + min(place, LENGTH - 1u);
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
  for (var other = wid.x * WG; other < LENGTH; other++) {
    for (var head = kv_head * (HEADS / KV_HEADS); head < (kv_head + 1u) * (HEADS / KV_HEADS); head++) {
      let pair = (first + other) * HEADS + head;
      let at = pair * D4;
      var scores = vec4f();
      var slopes = vec4f();
      for (var i = 0u; i < D4; i++) {
        scores += key[i] * q[at + i];
        slopes += value[i] * dy[at + i];
      }
      let score = select(-3e38, dot(scores, vec4f(1.0)), other >= place);
      let share = exp(score - log_sums[pair]);
      let by = share * (dot(slopes, vec4f(1.0)) - deltas[pair]) * SCALE;
      for (var i = 0u; i < D4; i++) {
        key_total[i] += by * q[at + i];
        value_total[i] += share * dy[at + i];
      }
    }
  }
  if (place < LENGTH) {
    for (var i = 0u; i < D4; i++) {
      dk[own + i] = key_total[i];
      dv[own + i] = value_total[i];
    }
  }
}

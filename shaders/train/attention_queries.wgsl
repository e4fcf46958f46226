// Backward of attention to its queries, a thread a row and head: dq (ROWS, HEADS, D4 * 4) of dy, and deltas (ROWS, HEADS), the
// products of what attention gave and of its gradient, which the backward to keys and values needs.
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
  var slope: array<vec4f, D4>;
  var total: array<vec4f, D4>;
  var products = vec4f();
  for (var i = 0u; i < D4; i++) {
    query[i] = q[own + i] * SCALE;
    slope[i] = dy[own + i];
    products += slope[i] * y[own + i];
    total[i] = vec4f();
  }
  let delta = dot(products, vec4f(1.0));
  let log_sum = log_sums[row * HEADS + head];
  for (var other = row - row % LENGTH; other <= row; other++) {
    let at = (other * KV_HEADS + kv_head) * D4;
    var scores = vec4f();
    var slopes = vec4f();
    for (var i = 0u; i < D4; i++) {
      scores += query[i] * k[at + i];
      slopes += slope[i] * v[at + i];
    }
    let share = exp(dot(scores, vec4f(1.0)) - log_sum);
    let by = share * (dot(slopes, vec4f(1.0)) - delta) * SCALE;
    for (var i = 0u; i < D4; i++) {
      total[i] += by * k[at + i];
    }
  }
  for (var i = 0u; i < D4; i++) {
    dq[own + i] = total[i];
  }
  deltas[row * HEADS + head] = delta;
}

// Backward of attention to its queries, a thread a row and head: dq (ROWS, HEADS, D4 * 4) of dy, and deltas (ROWS, HEADS), the
// products of what attention gave and of its gradient, which the backward to keys and values needs. Rows are gone over as in
// attention.wgsl.
@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let head = wid.y;
  let kv_head = head / (HEADS / KV_HEADS);
  let first = wid.z * LENGTH;
  let place = wid.x * WG + lid;
  let row = first + min(place, LENGTH - 1u);
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
  for (var other = 0u; other < min(LENGTH, (wid.x + 1u) * WG); other++) {
    let at = ((first + other) * KV_HEADS + kv_head) * D4;
    var scores = vec4f();
    var slopes = vec4f();
    for (var i = 0u; i < D4; i++) {
      scores += query[i] * k[at + i];
      slopes += slope[i] * v[at + i];
    }
    let score = select(-3e38, dot(scores, vec4f(1.0)), other <= place);
    let by = exp(score - log_sum) * (dot(slopes, vec4f(1.0)) - delta) * SCALE;
    for (var i = 0u; i < D4; i++) {
      total[i] += by * k[at + i];
    }
  }
  if (place < LENGTH) {
    for (var i = 0u; i < D4; i++) {
      dq[own + i] = total[i];
    }
    deltas[row * HEADS + head] = delta;
  }
}

// As attention_queries.wgsl, in tiles.
#import attention_tile

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  begin(lid);
  let head = wid.y;
  let kv_head = head / (HEADS / KV_HEADS);
  let first = wid.z * LENGTH;
  let place = wid.x * TALL + lid / MEMBERS;
  let row = first + min(place, LENGTH - 1u);
  let own = (row * HEADS + head) * D4;
  var delta = 0.0;
  for (var slice = 0u; slice < SLICES; slice++) {
    let quad = slice * MEMBERS + lid % MEMBERS;
    if (quad < D4) {
      delta += dot(dy[own + quad], y[own + quad]);
    }
  }
  delta = row_sum(lid, delta);
  let log_sum = log_sums[row * HEADS + head];
  for (var tile = 0u; tile < TILES; tile++) {
    if (tile > wid.x) {
      break;
    }
    let at = ((first + min(tile * TALL + lid / MEMBERS, LENGTH - 1u)) * KV_HEADS + kv_head) * D4;
    var scores = vec4f();
    var slopes = vec4f();
    for (var slice = 0u; slice < SLICES; slice++) {
      let quad = quad_of(slice, lid);
      scores += products(lid, within(slice, lid, q[own + quad] * SCALE), k[at + quad]);
      slopes += products(lid, within(slice, lid, dy[own + quad]), v[at + quad]);
    }
    scores = select(vec4f(-3e38), scores, others_of(tile, lid) <= vec4<u32>(place));
    weights[lid] = exp(scores - log_sum) * (slopes - delta) * SCALE;
    for (var slice = 0u; slice < SLICES; slice++) {
      let quad = quad_of(slice, lid);
      var sum = weighted(lid, k[at + quad]);
      if (place < LENGTH && is_within(slice, lid)) {
        if (tile > 0u) {
          sum += dq[own + quad];
        }
        dq[own + quad] = sum;
      }
    }
  }
  if (place < LENGTH && lid % MEMBERS == 0u) {
    deltas[row * HEADS + head] = delta;
  }
}

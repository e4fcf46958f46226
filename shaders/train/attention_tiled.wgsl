// As attention.wgsl, in tiles.
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
  var largest = -3e38;
  var sum = 0.0;
  for (var tile = 0u; tile < TILES; tile++) {
    if (tile > wid.x) {
      break;
    }
    let at = ((first + min(tile * TALL + lid / MEMBERS, LENGTH - 1u)) * KV_HEADS + kv_head) * D4;
    var scores = vec4f();
    for (var slice = 0u; slice < SLICES; slice++) {
      let quad = quad_of(slice, lid);
      scores += products(lid, within(slice, lid, q[own + quad] * SCALE), k[at + quad]);
    }
    scores = select(vec4f(-3e38), scores, others_of(tile, lid) <= vec4<u32>(place));
    weights[lid] = scores;
    workgroupBarrier();
    var most = vec4f(largest);
    for (var i = 0u; i < MEMBERS; i++) {
      most = max(most, weights[lid / MEMBERS * MEMBERS + i]);
    }
    let now = max(max(most.x, most.y), max(most.z, most.w));
    workgroupBarrier();
    let shares = exp(scores - now);
    weights[lid] = shares;
    let less = exp(largest - now);
    sum = sum * less + dot(shares, vec4f(1.0));
    largest = now;
    for (var slice = 0u; slice < SLICES; slice++) {
      let quad = quad_of(slice, lid);
      var added = weighted(lid, v[at + quad]);
      if (place < LENGTH && is_within(slice, lid)) {
        if (tile > 0u) {
          added += out[own + quad] * less;
        }
        out[own + quad] = added;
      }
    }
  }
  sum = row_sum(lid, sum);
  if (place < LENGTH) {
    for (var slice = 0u; slice < SLICES; slice++) {
      if (is_within(slice, lid)) {
        out[own + quad_of(slice, lid)] /= sum;
      }
    }
    if (lid % MEMBERS == 0u) {
      log_sums[row * HEADS + head] = largest + log(sum);
    }
  }
}

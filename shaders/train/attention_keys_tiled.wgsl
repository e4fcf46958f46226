// As attention_keys.wgsl, in tiles: of each, the heads that share the keys one after the other.
#import attention_tile

const GROUP = HEADS / KV_HEADS;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let kv_head = wid.y;
  let first = wid.z * LENGTH;
  let place = wid.x * TALL + lid / MEMBERS;
  let row = first + min(place, LENGTH - 1u);
  let own = (row * KV_HEADS + kv_head) * D4;
  var key_total: array<vec4f, SLICES>;
  var value_total: array<vec4f, SLICES>;
  for (var later = 0u; later < TILES; later++) {
    let tile = wid.x + later;
    if (tile >= TILES) {
      break;
    }
    let others = others_of(tile, lid);
    let seen = (others >= vec4<u32>(place)) & (others < vec4<u32>(LENGTH));
    for (var member = 0u; member < GROUP; member++) {
      let head = kv_head * GROUP + member;
      let pairs = (first + min(others, vec4<u32>(LENGTH - 1u))) * HEADS + head;
      let at = ((first + min(tile * TALL + lid / MEMBERS, LENGTH - 1u)) * HEADS + head) * D4;
      var scores = vec4f();
      var slopes = vec4f();
      for (var slice = 0u; slice < SLICES; slice++) {
        let quad = quad_of(slice, lid);
        scores += products(lid, within(slice, lid, k[own + quad] * SCALE), q[at + quad]);
        slopes += products(lid, within(slice, lid, v[own + quad]), dy[at + quad]);
      }
      let sums = vec4f(log_sums[pairs.x], log_sums[pairs.y], log_sums[pairs.z], log_sums[pairs.w]);
      let along = vec4f(deltas[pairs.x], deltas[pairs.y], deltas[pairs.z], deltas[pairs.w]);
      let shares = exp(select(vec4f(-3e38), scores, seen) - sums);
      weights[lid] = shares * (slopes - along) * SCALE;
      for (var slice = 0u; slice < SLICES; slice++) {
        key_total[slice] += weighted(lid, q[at + quad_of(slice, lid)]);
      }
      weights[lid] = shares;
      for (var slice = 0u; slice < SLICES; slice++) {
        value_total[slice] += weighted(lid, dy[at + quad_of(slice, lid)]);
      }
    }
  }
  if (place < LENGTH) {
    for (var slice = 0u; slice < SLICES; slice++) {
      let quad = slice * MEMBERS + lid % MEMBERS;
      if (quad < D4) {
        dk[own + quad] = key_total[slice];
        dv[own + quad] = value_total[slice];
      }
    }
  }
}

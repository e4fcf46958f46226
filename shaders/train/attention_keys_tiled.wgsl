// As attention_keys.wgsl, in tiles: of each, the heads that share the keys one after the other.
#import attention_tile

const GROUP = HEADS / KV_HEADS;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  begin(lid);
  let kv_head = wid.y;
  let first = wid.z * LENGTH;
  let place = wid.x * TALL + lid / MEMBERS;
  let row = first + min(place, LENGTH - 1u);
  let own = (row * KV_HEADS + kv_head) * D4;
  for (var later = 0u; later < TILES; later++) {
    let tile = wid.x + later;
    if (tile >= TILES) {
      break;
    }
    for (var member = 0u; member < GROUP; member++) {
      let head = kv_head * GROUP + member;
      let at = ((first + min(tile * TALL + lid / MEMBERS, LENGTH - 1u)) * HEADS + head) * D4;
      var scores = vec4f();
      var slopes = vec4f();
      for (var slice = 0u; slice < SLICES; slice++) {
        let quad = quad_of(slice, lid);
        scores += products(lid, within(slice, lid, k[own + quad] * SCALE), q[at + quad]);
      }
      for (var slice = 0u; slice < SLICES; slice++) {
        let quad = quad_of(slice, lid);
        slopes += products(lid, within(slice, lid, v[own + quad]), dy[at + quad]);
      }
      let others = others_of(tile, lid);
      let seen = (others >= vec4<u32>(place)) & (others < vec4<u32>(LENGTH));
      let pairs = (first + min(others, vec4<u32>(LENGTH - 1u))) * HEADS + head;
      let sums = vec4f(log_sums[pairs.x], log_sums[pairs.y], log_sums[pairs.z], log_sums[pairs.w]);
      let along = vec4f(deltas[pairs.x], deltas[pairs.y], deltas[pairs.z], deltas[pairs.w]);
      let shares = exp(select(vec4f(-3e38), scores, seen) - sums);
      weights[lid] = shares * (slopes - along) * SCALE;
      for (var slice = 0u; slice < SLICES; slice++) {
        let quad = quad_of(slice, lid);
        var sum = weighted(lid, q[at + quad]);
        if (place < LENGTH && is_within(slice, lid)) {
          if (later + member > 0u) {
            sum += dk[own + quad];
          }
          dk[own + quad] = sum;
        }
      }
      weights[lid] = shares;
      for (var slice = 0u; slice < SLICES; slice++) {
        let quad = quad_of(slice, lid);
        var sum = weighted(lid, dy[at + quad]);
        if (place < LENGTH && is_within(slice, lid)) {
          if (later + member > 0u) {
            sum += dv[own + quad];
          }
          dv[own + quad] = sum;
        }
      }
    }
  }
}

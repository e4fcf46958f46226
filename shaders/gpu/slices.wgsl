// The largest logit of each slice and its token, the lowest among equals; with SUM the sum of exponentials too. A workgroup a slice
// of a row.
#import step
#import gpu/slices
#import gpu/grouped
#import LOGITS

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  var best = Best(-3.4e38, 0u);
  for (var i = 0u; i < TRIPS; i++) {
    let quad = wid.x * SLICE4 + i * WG + lid;
    let token = 4u * quad;
    if (token < VOCAB) {
      let z = four_logits(wid.y, quad);
      best = better(best, Best(z.x, token));
      best = better(best, Best(select(-3.4e38, z.y, token + 1u < VOCAB), token + 1u));
      best = better(best, Best(select(-3.4e38, z.z, token + 2u < VOCAB), token + 2u));
      best = better(best, Best(select(-3.4e38, z.w, token + 3u < VOCAB), token + 3u));
    }
  }
  best = grouped_best(best, lid);
  var sum = 0.0;
  if (SUM) {
    for (var i = 0u; i < TRIPS; i++) {
      let quad = wid.x * SLICE4 + i * WG + lid;
      let token = vec4<u32>(4u * quad) + vec4<u32>(0u, 1u, 2u, 3u);
      if (token.x < VOCAB) {
        let weights = exp(logits[wid.y * STRIDE4 + quad] - best.value);
        sum += dot(select(vec4f(), weights, token < vec4<u32>(VOCAB)), vec4f(1.0));
      }
    }
    sum = grouped_sum(sum, lid);
  }
  if (lid == 0u) {
    slices[wid.y * SLICES + wid.x] = Slice(best.value, best.index, sum);
  }
}

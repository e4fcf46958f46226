// Log-probabilities (nats) of the TOP likeliest tokens of each row, the likeliest first, lowest id first among equals, then that of the
// chosen token, from what the slices of the row have: a workgroup a row, a thread a slice.
#import step
#import gpu/slices
#import gpu/row_best
#import features/top

const POOL = max(TOP * TOP, 1u);

var<workgroup> pool: array<Best, POOL>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  var mine = Best(-3.4e38, VOCAB + lid);
  var sum = 0.0;
  if (lid < SLICES) {
    let slice = slices[wid.x * SLICES + lid];
    mine = Best(slice.value, slice.index);
    sum = slice.sum;
  }
  let best = grouped_best(mine, lid);
  let rank = rank_among_threads(mine);
  for (var i = 0u; i < TOP; i++) {
    if (rank < TOP) {
      // What is none comes last.
      var one = Best(-3.4e38, 0x40000000u + rank * TOP + i);
      if (lid < SLICES) {
        let other = tops[(wid.x * SLICES + lid) * TOP + i];
        one = Best(other.value, other.index);
      }
      pool[rank * TOP + i] = one;
    }
  }
  let all = best.value + log(grouped_sum(sum * exp(mine.value - best.value), lid));
  for (var at = lid; at < TOP * TOP; at += WG) {
    let one = pool[at];
    var place = 0u;
    for (var i = 0u; i < TOP * TOP; i++) {
      place += select(0u, 1u, is_before(pool[i], one));
    }
    if (place < TOP) {
      top[wid.x * (TOP + 1u) + place] = vec2<u32>(one.index, bitcast<u32>(one.value - all));
    }
  }
  if (lid == 0u) {
    let token = sampled[step.next + wid.x];
    let logit = logits[wid.x * STRIDE4 + token / 4u][token % 4u];
    top[wid.x * (TOP + 1u) + TOP] = vec2<u32>(token, bitcast<u32>(logit - all));
  }
}

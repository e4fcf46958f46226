// Log-probabilities (nats) of the TOP likeliest tokens of each row of logits (rows, VOCAB), the likeliest first, lowest id
// first among equals; a workgroup a row. Each round finds the best below the one before.
#import step
#import step
#import best
#import workgroup

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let at = wid.x * STRIDE4 * 4u;
  var last = Best(3.4e38, 0u);
  var all = 0.0;
  // The first round is also the maximum of the log of the sum of exponentials, so there is always one.
  for (var round = 0u; round < max(TOP, 1u); round++) {
    var best = Best(-3.4e38, VOCAB);
    for (var i = lid; i < VOCAB; i += WG) {
      let z = logits[at + i];
      if (z < last.value || (z == last.value && i > last.index)) {
        best = better(best, Best(z, i));
      }
    }
    best = workgroup_argmax(best, lid);
    if (round == 0u) {
      var mine = 0.0;
      for (var i = lid; i < VOCAB; i += WG) {
        mine += exp(logits[at + i] - best.value);
      }
      all = best.value + log(workgroup_sum(mine, lid));
    }
    if (lid == 0u && round < TOP) {
      top[wid.x * (TOP + 1u) + round] = vec2<u32>(best.index, bitcast<u32>(best.value - all));
    }
    last = best;
  }
  if (lid == 0u) {
    let token = sampled[step.next + wid.x];
    top[wid.x * (TOP + 1u) + TOP] = vec2<u32>(token, bitcast<u32>(logits[at + token] - all));
  }
}

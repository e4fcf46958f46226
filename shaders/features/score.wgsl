// For each row of logits (rows, VOCAB): log-probability (nats) of its target token, and the likeliest token. A workgroup a row.
#import step
#import best
#import workgroup

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let at = wid.x * STRIDE4 * 4u;
  let row = step.first + wid.x;
  var best = Best(-3.4e38, 0u);
  for (var i = lid; i < VOCAB; i += WG) {
    best = better(best, Best(logits[at + i], i));
  }
  best = workgroup_argmax(best, lid);
  var mine = 0.0;
  for (var i = lid; i < VOCAB; i += WG) {
    mine += exp(logits[at + i] - best.value);
  }
  let sum = workgroup_sum(mine, lid);
  if (lid == 0u) {
    let target_logit = logits[at + targets[row]];
    scores[row] = vec2<u32>(bitcast<u32>(target_logit - best.value - log(sum)), best.index);
  }
}

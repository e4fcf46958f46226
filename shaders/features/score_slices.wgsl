// Log-probability (nats) of the target token of each row of logits, and the likeliest token, from what its slices have: a workgroup
// a row, a thread a slice.
#import step
#import gpu/slices
#import gpu/row_best

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let best = row_best(wid.x, lid);
  var mine = 0.0;
  if (lid < SLICES) {
    let slice = slices[wid.x * SLICES + lid];
    mine = slice.sum * exp(slice.value - best.value);
  }
  let sum = grouped_sum(mine, lid);
  if (lid == 0u) {
    let row = step.first + wid.x;
    let target_logit = logits[wid.x * STRIDE4 * 4u + targets[row]];
    scores[row] = vec2<u32>(bitcast<u32>(target_logit - best.value - log(sum)), best.index);
  }
}

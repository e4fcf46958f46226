// Greedy choice: the likeliest token of each row of logits (rows, VOCAB); a workgroup a row.
#import step
#import best
#import next

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  var best = Best(-3.4e38, 0u);
  for (var i = lid; i < STRIDE4; i += WG) {
    let z = logits[wid.x * STRIDE4 + i];
    for (var j = 0u; j < 4u; j++) {
      if (4u * i + j < VOCAB) {
        best = better(best, Best(z[j], 4u * i + j));
      }
    }
  }
  best = workgroup_argmax(best, lid);
  if (lid == 0u) {
    take(wid.x, best.index);
  }
}

// Greedy choice from what the slices of each row have: a workgroup a row, a thread a slice.
#import step
#import gpu/slices
#import gpu/row_best
#import next

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let best = row_best(wid.x, lid);
  if (lid == 0u) {
    take(wid.x, best.index);
  }
}

// Sums of squares of COUNT numbers, in as many parts as there are workgroups.
#import workgroup
#import NUMBERS

const SIZE = COUNT / EACH;
const STRIDE = PARTS * WG;
const TURNS = (SIZE + STRIDE - 1u) / STRIDE;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  var squares = Some();
  for (var turn = 0u; turn < TURNS; turn++) {
    let i = turn * STRIDE + wid.x * WG + lid;
    if (i < SIZE) {
      let value = x[i];
      squares += value * value;
    }
  }
  let sum = workgroup_sum(total(squares), lid);
  if (lid == 0u) {
    parts[wid.x] = sum;
  }
}

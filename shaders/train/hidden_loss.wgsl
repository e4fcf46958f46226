// The loss of a row of hidden states (rows, HIDDEN): its weight times the squared distance from the teacher's, as a share of the
// teacher's square. A workgroup a row. With ADD, loss and gradient are added to what is there.
#import workgroup
#import NUMBERS

const SIZE = HIDDEN / EACH;
const TURNS = (SIZE + WG - 1u) / WG;
// Squares of a teacher's row of nearly nothing.
const LEAST = 1e-12;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let row = wid.x;
  let at = row * SIZE;
  let weight = row_weights[row];
  if (weight == 0.0) {
    // Whatever there is, NaN too.
    for (var turn = 0u; turn < TURNS; turn++) {
      let i = turn * WG + lid;
      if (!ADD && i < SIZE) {
        gradient[at + i] = Some();
      }
    }
    if (!ADD && lid == 0u) {
      losses[row] = 0.0;
    }
    return;
  }
  var own = 0.0;
  var apart = 0.0;
  for (var turn = 0u; turn < TURNS; turn++) {
    let i = turn * WG + lid;
    if (i < SIZE) {
      let t = teacher[at + i];
      let d = student[at + i] - t;
      own += total(t * t);
      apart += total(d * d);
    }
  }
  let by = weight / max(workgroup_sum(own, lid), LEAST);
  let distance = workgroup_sum(apart, lid);
  for (var turn = 0u; turn < TURNS; turn++) {
    let i = turn * WG + lid;
    if (i < SIZE) {
      var value = 2.0 * by * (student[at + i] - teacher[at + i]);
      if (ADD) {
        value += gradient[at + i];
      }
      gradient[at + i] = value;
    }
  }
  if (lid == 0u) {
    var loss = by * distance;
    if (ADD) {
      loss += losses[row];
    }
    losses[row] = loss;
  }
}

// The loss of a row of logits (rows, VOCAB): its weight times MIX of the divergence from softmax(teacher) and 1 - MIX of the
// cross-entropy of its target. The logits become its derivatives. A workgroup a row, which is read twice.
#import workgroup
#import NUMBERS
#import TEACHER

const SIZE = VOCAB / EACH;
const TURNS = (SIZE + WG - 1u) / WG;
const LOWEST = -3.4e38;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let row = wid.x;
  let first = row * SIZE;
  let weight = row_weights[row];
  if (weight == 0.0) {
    // Whatever there is, NaN too.
    for (var turn = 0u; turn < TURNS; turn++) {
      let i = turn * WG + lid;
      if (i < SIZE) {
        logits[first + i] = Some();
      }
    }
    if (lid == 0u) {
      losses[row] = 0.0;
    }
    return;
  }
  // The largest so far, and the sum of exp(value - largest).
  var most = LOWEST;
  var sum = 0.0;
  var teacher_most = LOWEST;
  var teacher_sum = 0.0;
  for (var turn = 0u; turn < TURNS; turn++) {
    let i = turn * WG + lid;
    if (i < SIZE) {
      let z = logits[first + i];
      let next = max(most, largest(z));
      sum = sum * exp(most - next) + total(exp(z - next));
      most = next;
      if (HAS_TEACHER) {
        let t = teacher_at(first + i);
        let teacher_next = max(teacher_most, largest(t));
        teacher_sum = teacher_sum * exp(teacher_most - teacher_next) + total(exp(t - teacher_next));
        teacher_most = teacher_next;
      }
    }
  }
  let top = workgroup_max(most, lid);
  let all = workgroup_sum(sum * exp(most - top), lid);
  let log_all = log(all);
  var teacher_top = 0.0;
  var teacher_all = 1.0;
  if (HAS_TEACHER) {
    teacher_top = workgroup_max(teacher_most, lid);
    teacher_all = workgroup_sum(teacher_sum * exp(teacher_most - teacher_top), lid);
  }
  let teacher_log_all = log(teacher_all);
  let target_token = targets[row];
  var loss = 0.0;
  for (var turn = 0u; turn < TURNS; turn++) {
    let i = turn * WG + lid;
    if (i < SIZE) {
      let z = logits[first + i] - top;
      let is_target = is_at(i, target_token);
      var wanted = (1.0 - MIX) * select(Some(), Some(1.0), is_target);
      loss -= (1.0 - MIX) * total(select(Some(), z - log_all, is_target));
      if (HAS_TEACHER) {
        let t = teacher_at(first + i) - teacher_top;
        let p = exp(t) / teacher_all;
        loss += MIX * total(select(Some(), p * ((t - teacher_log_all) - (z - log_all)), p > Some()));
        wanted += MIX * p;
      }
      logits[first + i] = weight * (exp(z) / all - wanted);
    }
  }
  loss = workgroup_sum(loss, lid);
  if (lid == 0u) {
    losses[row] = weight * loss;
  }
}

// What brings a gradient within the largest norm, from COUNT parts of its sum of squares: 0 where they are not finite.
#import workgroup
#import hyper

const TURNS = (COUNT + WG - 1u) / WG;

// By its bits, for compilers may take it that every value is finite.
fn is_odd(value: f32) -> bool {
  return (bitcast<u32>(value) & 0x7f800000u) == 0x7f800000u;
}

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) lid: u32) {
  var sum = 0.0;
  var odd = 0.0;
  for (var turn = 0u; turn < TURNS; turn++) {
    let i = turn * WG + lid;
    if (i < COUNT) {
      let part = parts[i];
      if (is_odd(part)) {
        odd = 1.0;
      } else {
        sum += part;
      }
    }
  }
  let norm = sqrt(workgroup_sum(sum, lid));
  let any_odd = workgroup_max(odd, lid) > 0.0 || is_odd(norm);
  if (lid == 0u) {
    let most = hyper[MOST_NORM];
    hyper[FACTOR] = select(select(1.0, most / norm, norm > most), 0.0, any_odd);
    hyper[NORM] = select(norm, 0.0, any_odd);
  }
}

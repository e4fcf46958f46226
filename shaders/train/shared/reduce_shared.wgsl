// As the engine has it, with a constant number of turns.
var<workgroup> lane_sums: array<vec4f, WG>;

// A constant number of turns, or compilers guard the loop.
const HALVES = firstTrailingBit(LANES);

// Sum over the LANES neighbours that work on one row; every lane gets it. Uniform control flow only.
fn reduce(value: vec4f, lid: u32) -> vec4f {
  lane_sums[lid] = value;
  workgroupBarrier();
  for (var turn = 1u; turn <= HALVES; turn++) {
    let half = LANES >> turn;
    if (lid % LANES < half) {
      lane_sums[lid] += lane_sums[lid + half];
    }
    workgroupBarrier();
  }
  let sum = lane_sums[lid - lid % LANES];
  workgroupBarrier();
  return sum;
}

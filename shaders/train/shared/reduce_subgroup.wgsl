// requires: subgroups
enable subgroups;

// As the engine has it, with a constant number of turns.
var<workgroup> lane_sums: array<vec4f, WG>;

// Sum over the LANES neighbours that work on one row; every lane gets it. Uniform control flow only.
// The launcher keeps LANES a multiple of the subgroup size, which is measured here and never assumed.
fn reduce(value: vec4f, lid: u32) -> vec4f {
  let size = subgroupAdd(1u);
  let part = subgroupAdd(value);
  if (lid % size == 0u) {
    lane_sums[lid / size] = part;
  }
  workgroupBarrier();
  let parts = LANES / size;
  let start = (lid / LANES) * parts;
  var sum = lane_sums[start];
  // A constant number of turns, or compilers guard the loop: subgroups are of four or more.
  for (var i = 1u; i < LANES / 4u; i++) {
    if (i >= parts) {
      break;
    }
    sum += lane_sums[start + i];
  }
  workgroupBarrier();
  return sum;
}

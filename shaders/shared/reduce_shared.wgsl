var<workgroup> lane_sums: array<vec4f, WG>;

// Sum over the LANES neighbours that work on one row; every lane gets it. Uniform control flow only.
fn reduce(value: vec4f, lid: u32) -> vec4f {
  lane_sums[lid] = value;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lid % LANES < half) {
      lane_sums[lid] += lane_sums[lid + half];
    }
    workgroupBarrier();
  }
  let sum = lane_sums[lid - lid % LANES];
  workgroupBarrier();
  return sum;
}

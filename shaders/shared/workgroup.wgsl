// Sums and maxima over a workgroup of WG threads, a power of two; every thread gets them. Uniform control flow only.
const LEVELS = firstTrailingBit(WG);
var<workgroup> workgroup_values: array<f32, WG>;

fn workgroup_sum(value: f32, lid: u32) -> f32 {
  workgroup_values[lid] = value;
  workgroupBarrier();
  for (var level = 1u; level <= LEVELS; level++) {
    let half = WG >> level;
    if (lid < half) {
      workgroup_values[lid] += workgroup_values[lid + half];
    }
    workgroupBarrier();
  }
  return workgroupUniformLoad(&workgroup_values[0]);
}

fn workgroup_max(value: f32, lid: u32) -> f32 {
  workgroup_values[lid] = value;
  workgroupBarrier();
  for (var level = 1u; level <= LEVELS; level++) {
    let half = WG >> level;
    if (lid < half) {
      workgroup_values[lid] = max(workgroup_values[lid], workgroup_values[lid + half]);
    }
    workgroupBarrier();
  }
  return workgroupUniformLoad(&workgroup_values[0]);
}

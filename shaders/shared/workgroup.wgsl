// Sums and maxima over a workgroup of WG threads; every thread gets them. Uniform control flow only.
var<workgroup> workgroup_values: array<f32, WG>;

fn workgroup_sum(value: f32, lid: u32) -> f32 {
  workgroup_values[lid] = value;
  workgroupBarrier();
  for (var half = WG / 2u; half > 0u; half /= 2u) {
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
  for (var half = WG / 2u; half > 0u; half /= 2u) {
    if (lid < half) {
      workgroup_values[lid] = max(workgroup_values[lid], workgroup_values[lid + half]);
    }
    workgroupBarrier();
  }
  return workgroupUniformLoad(&workgroup_values[0]);
}

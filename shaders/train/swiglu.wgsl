// out = silu(gate) * up, COUNT numbers of each.
@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let i = (wid.y * groups.x + wid.x) * WG + lid;
  if (i < COUNT) {
    let x = gate[i];
    out[i] = x / (1.0 + exp(-x)) * up[i];
  }
}

// Backward of silu(gate) * up: the gradients of gate and up take their places; dy is that of the product.
@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let i = (wid.y * groups.x + wid.x) * WG + lid;
  if (i < COUNT) {
    let x = gate[i];
    let d = dy[i];
    let s = 1.0 / (1.0 + exp(-x));
    gate[i] = d * up[i] * s * (1.0 + x * (1.0 - s));
    up[i] = d * x * s;
  }
}

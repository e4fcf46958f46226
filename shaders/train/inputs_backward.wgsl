// The backward of inputs.wgsl: dz (ROWS, COLS) is the sum of what each later row of the window, of LENGTH rows, takes of a row: dy
// (ROWS, INPUTS * COLS).
@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let i = (wid.y * groups.x + wid.x) * WG + lid;
  if (i >= ROWS * COLS) {
    return;
  }
  let row = i / COLS;
  let left = LENGTH - row % LENGTH;
  var sum = 0.0;
  for (var back = 0u; back < min(INPUTS, left); back++) {
    sum += dy[((row + back) * INPUTS + back) * COLS + i % COLS];
  }
  dz[i] = sum;
}

// What a linear map of several inputs reads: out (ROWS, INPUTS * COLS) is z (ROWS, COLS) of each row, then that of the row before it
// in its window of LENGTH rows, and so on; zeros before the first.
@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let i = (wid.y * groups.x + wid.x) * WG + lid;
  if (i >= ROWS * COLS) {
    return;
  }
  let row = i / COLS;
  let position = row % LENGTH;
  for (var back = 0u; back < INPUTS; back++) {
    var value = 0.0;
    if (back <= position) {
      value = z[i - back * COLS];
    }
    out[(row * INPUTS + back) * COLS + i % COLS] = value;
  }
}

// x = BY * x, of COUNT numbers; with FILL, BY itself.
#import NUMBERS

const SIZE = COUNT / EACH;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lid: u32,
) {
  let i = (wid.y * grid.x + wid.x) * WG + lid;
  if (i < SIZE) {
    var value = Some(BY);
    if (!FILL) {
      value *= x[i];
    }
    x[i] = value;
  }
}

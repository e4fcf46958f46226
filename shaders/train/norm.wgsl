// RMSNorm: out (ROWS, K) = x / sqrt(mean(x^2) + EPS) * gain; NORM_GAIN false: no gain. LANES neighbours share a row.
#import REDUCE

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lid: u32,
) {
  let row = (wid.y * groups.x + wid.x) * (WG / LANES) + lid / LANES;
  let at = min(row, ROWS - 1u) * K;
  var squares = 0.0;
  for (var i = lid % LANES; i < K; i += LANES) {
    let value = x[at + i];
    squares += value * value;
  }
  let scale = inverseSqrt(reduce(vec4f(squares), lid).x / f32(K) + EPS);
  if (row < ROWS) {
    for (var i = lid % LANES; i < K; i += LANES) {
      out[at + i] = x[at + i] * scale * select(1.0, gain[i], NORM_GAIN);
    }
  }
}

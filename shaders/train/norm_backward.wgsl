// Backward of RMSNorm: dx (ROWS, K) of dy, or added to what is there (ADD); row_scales (ROWS) are 1 / sqrt(mean(x^2) + EPS).
#import REDUCE

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lid: u32,
) {
  let row = (wid.y * groups.x + wid.x) * (WG / LANES) + lid / LANES;
  let at = min(row, ROWS - 1u) * K;
  var sums = vec4f();
  for (var i = lid % LANES; i < K; i += LANES) {
    let value = x[at + i];
    sums += vec4f(value * value, value * dy[at + i] * select(1.0, gain[i], NORM_GAIN), 0.0, 0.0);
  }
  let both = reduce(sums, lid);
  let scale = inverseSqrt(both.x / f32(K) + EPS);
  let along = both.y * scale * scale / f32(K);
  if (row < ROWS) {
    for (var i = lid % LANES; i < K; i += LANES) {
      var value = scale * (dy[at + i] * select(1.0, gain[i], NORM_GAIN) - x[at + i] * along);
      if (ADD) {
        value += dx[at + i];
      }
      dx[at + i] = value;
    }
    if (lid % LANES == 0u) {
      row_scales[row] = scale;
    }
  }
}

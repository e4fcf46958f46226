// RMSNorm: out (rows, K) = x / sqrt(mean(x^2) + EPS) * gain; NORM_GAIN false: no gain. ADD: added to out. LANES
// neighbours share a row.
#import step
#import REDUCE

// A constant number of turns, or compilers do not unroll them.
const TURNS = (X_STRIDE4 + LANES - 1u) / LANES;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let first = select(0u, step.first, HEAD);
  let count = select(step.rows, step.count, HEAD);
  let row = wid.x * (WG / LANES) + lid / LANES;
  let at = (first + min(row, count - 1u)) * X_STRIDE4;
  var squares = 0.0;
  for (var turn = 0u; turn < TURNS; turn++) {
    let i = turn * LANES + lid % LANES;
    if (i < X_STRIDE4) {
      let value = x[at + i];
      squares += dot(value, value);
    }
  }
  let scale = inverseSqrt(reduce(vec4f(squares), lid).x / f32(K) + EPS);
  if (row < count) {
    for (var turn = 0u; turn < TURNS; turn++) {
      let i = turn * LANES + lid % LANES;
      if (i < X_STRIDE4) {
        let gain = select(vec4f(1.0), vectors[i], NORM_GAIN);
        var value = x[at + i] * gain * scale;
        if (ADD) {
          value += out[row * X_STRIDE4 + i];
        }
        out[row * X_STRIDE4 + i] = value;
      }
    }
  }
}

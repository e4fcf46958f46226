// For models that normalise q and k: RMS norm of each head (with weights, or NORM_GAIN false: without; rotation keeps the norm,
// so before and after RoPE are the same), then RoPE, then q, k, v to where attention reads them. LANES neighbours share a head.
#import step
#import REDUCE
#import qkv_place

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let all = HEADS + 2u * KV_HEADS;
  let item = wid.x * (WG / LANES) + lid / LANES;
  let row = min(item / all, step.rows - 1u);
  let head = item % all;
  let at = (row * X_STRIDE + head * HEAD_DIM) / 2u;
  let half = HEAD_DIM / 4u;
  var squares = 0.0;
  for (var i = lid % LANES; i < 2u * half; i += LANES) {
    squares += dot(x[at + i], x[at + i]);
  }
  let scale = inverseSqrt(reduce(vec4f(squares), lid).x / f32(HEAD_DIM) + EPS);
  if (item / all >= step.rows) {
    return;
  }
  for (var i = lid % LANES; i < half; i += LANES) {
    var value = vec4f(x[at + i], x[at + i + half]);
    if (head < HEADS + KV_HEADS) {
      value *= scale;
      if (NORM_GAIN) {
        let gain = select(HEAD_DIM / 2u, 0u, head < HEADS);
        value *= vec4f(vectors[gain + i], vectors[gain + i + half]);
      }
    }
    place(row, head, 2u * i, value);
  }
}

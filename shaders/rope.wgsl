// For models that normalise q and k: RMS norm of each head, or with WHOLE of all of q's heads and of all of k's (with weights, or
// NORM_GAIN false: without; rotation keeps the norm, so before and after RoPE are the same), then RoPE, then q, k, v to where
// attention reads them. NORM false: no norm; the sums of q, k and v had something added to. LANES neighbours share a head.
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
  // What is normalised together.
  var start = at;
  var heads = 1u;
  if (WHOLE) {
    start = (row * X_STRIDE + select(HEADS * HEAD_DIM, 0u, head < HEADS)) / 2u;
    heads = select(KV_HEADS, HEADS, head < HEADS);
  }
  var scale = 1.0;
  if (NORM) {
    var squares = 0.0;
    for (var i = lid % LANES; i < 2u * half * heads; i += LANES) {
      squares += dot(x[start + i], x[start + i]);
    }
    scale = inverseSqrt(reduce(vec4f(squares), lid).x / f32(HEAD_DIM * heads) + EPS);
  }
  if (item / all >= step.rows) {
    return;
  }
  for (var i = lid % LANES; i < half; i += LANES) {
    var value = vec4f(x[at + i], x[at + i + half]);
    if (NORM && head < HEADS + KV_HEADS) {
      value *= scale;
      if (NORM_GAIN) {
        let gain = select(select(HEAD_DIM / 2u, 0u, head < HEADS), head * HEAD_DIM / 2u, WHOLE);
        value *= vec4f(vectors[gain + i], vectors[gain + i + half]);
      }
    }
    place(row, head, 2u * i, value);
  }
}

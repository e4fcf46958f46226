// Epilogue: out (rows, OUT_STRIDE) = sums + bias; four neighbouring outputs at a time.
// With RESIDUAL, out is added to in place.

fn weight_rows(v: u32) -> vec4<u32> {
  return min(vec4<u32>(v, v + 1u, v + 2u, v + 3u), vec4<u32>(N - 1u));
}

fn finish(row: u32, v: u32, sums: vec4f) {
  if (v >= N) {
    return;
  }
  var value = sums;
  if (BIAS) {
    value += vectors[(BIAS_AT + v) / 4u];
  }
  let at = (row * OUT_STRIDE + ROW0 + v) / 4u;
  if (RESIDUAL) {
    value += out[at];
  }
  // Past the last output is padding, which others read as zeros.
  out[at] = select(vec4f(), value, vec4<u32>(v, v + 1u, v + 2u, v + 3u) < vec4<u32>(N));
}

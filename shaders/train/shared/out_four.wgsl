fn out_put(row: u32, quad: u32, value: vec4f) {
  let at = row * (N / 4u) + quad;
  if (ADD) {
    out[at] += value;
  } else {
    out[at] = value;
  }
}

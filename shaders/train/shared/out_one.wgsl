fn out_put(row: u32, quad: u32, value: vec4f) {
  for (var i = 0u; i < 4u; i++) {
    let column = 4u * quad + i;
    if (column < N) {
      let at = row * N + column;
      if (ADD) {
        out[at] += value[i];
      } else {
        out[at] = value[i];
      }
    }
  }
}

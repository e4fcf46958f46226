fn a_quad(row: u32, quad: u32) -> vec4f {
  return a[row * (A_COLS / 4u) + quad];
}

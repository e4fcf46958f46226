fn b_quad(row: u32, quad: u32) -> vec4f {
  return b[row * (B_COLS / 4u) + quad];
}

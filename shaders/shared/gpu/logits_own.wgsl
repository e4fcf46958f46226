fn four_logits(row: u32, quad: u32) -> vec4f {
  return logits[row * STRIDE4 + quad];
}

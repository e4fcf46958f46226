// Codes of four bits of a word, each as 1 + code / 16: four bits of the fraction of an f16 whose exponent is 0. GPUs widen f16 as
// they multiply, or at least faster than integers. Of each pair the second is the nibble four further.
fn nibbles(word: u32) -> array<vec2f, 4> {
  return array<vec2f, 4>(
    unpack2x16float(((word << 6u) & 0x03c003c0u) | 0x3c003c00u),
    unpack2x16float(((word << 2u) & 0x03c003c0u) | 0x3c003c00u),
    unpack2x16float(((word >> 2u) & 0x03c003c0u) | 0x3c003c00u),
    unpack2x16float(((word >> 6u) & 0x03c003c0u) | 0x3c003c00u),
  );
}

// Scale and what is added, from those of the codes themselves.
fn of_nibbles(grid: vec2f) -> vec2f {
  return vec2f(16.0 * grid.x, grid.y - 16.0 * grid.x);
}

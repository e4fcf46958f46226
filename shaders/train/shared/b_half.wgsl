// Numbers of 16 bits, two a word.
fn b_quad(row: u32, quad: u32) -> vec4f {
  let words = b[row * (B_COLS / 4u) + quad];
  return vec4f(unpack2x16float(words.x), unpack2x16float(words.y));
}

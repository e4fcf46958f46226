// Codes of five bits, four of a word: low halves as Q4_K's, and a word of fifth bits, bit g of the bytes for the g-th four of a span.
fn fifths(codes: u32, fifth: u32, quad: u32) -> vec4f {
  let low = (codes >> (4u * (quad % 2u))) & 0x0f0f0f0fu;
  return vec4f(unpack4xU8(low | (((fifth >> quad) & 0x01010101u) << 4u)));
}

// Codes of five bits: low halves as Q4_K's, and a word of fifth bits, bit g of the bytes for the g-th four of a span.
fn fifths(codes: u32, fifth: u32, unit: u32) -> Unit {
  let own = fifth >> (2u * unit);
  return Unit(
    vec4f(unpack4xU8((codes & 0x0f0f0f0fu) | ((own & 0x01010101u) << 4u))),
    vec4f(unpack4xU8(((codes >> 4u) & 0x0f0f0f0fu) | ((own & 0x02020202u) << 3u))),
  );
}

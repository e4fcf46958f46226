// Scale and minimum of the j-th 32 of the 256 values of a Q4_K or Q5_K block, of its first 16 bytes: an f16 factor for the scales
// and one for the minima, then eight of each in 6 bits: those of j < 4 in the low bits of their bytes, of the others two bits in
// the high ones, and four in bytes of their own. The products are exact.
fn k_scale(head: vec4<u32>, j: u32) -> vec2f {
  let own = head.yz >> vec2<u32>(8u * (j % 4u));
  let rest = (vec2<u32>(head.w) >> (vec2<u32>(0u, 4u) + 8u * (j % 4u))) & vec2<u32>(15u);
  let codes = select(rest | ((own >> vec2<u32>(2u)) & vec2<u32>(48u)), own & vec2<u32>(63u), j < 4u);
  return unpack2x16float(head.x) * vec2f(codes);
}

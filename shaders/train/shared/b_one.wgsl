// Past the end of a row is its last number again.
fn b_quad(row: u32, quad: u32) -> vec4f {
  let at = row * B_COLS + min(4u * quad + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(B_COLS - 1u));
  return vec4f(b[at.x], b[at.y], b[at.z], b[at.w]);
}

// Past the end of a row is its last number again.
fn a_quad(row: u32, quad: u32) -> vec4f {
  let at = row * A_COLS + min(4u * quad + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(A_COLS - 1u));
  return vec4f(a[at.x], a[at.y], a[at.z], a[at.w]);
}

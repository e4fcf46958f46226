fn bias_quad(quad: u32) -> vec4f {
  let at = min(4u * quad + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(N - 1u));
  return vec4f(bias[at.x], bias[at.y], bias[at.z], bias[at.w]);
}

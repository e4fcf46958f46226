fn bias_quad(quad: u32) -> vec4f {
  return vec4f();
}

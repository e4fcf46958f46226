// A span of numbers as they are, without scales.

const SCALED = false;
const HALVES = 1u;

fn span_scales(at: u32, s: u32) -> vec4f {
  return vec4f();
}

fn span_add(at: u32, s: u32, codes: vec2f, xs: vec2f, before: f32) -> f32 {
  return before;
}

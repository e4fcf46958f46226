// Weights (rows, K) as bytes, code + 128, with one f16 scale for 32 neighbours along K, a span of two loads. Each is read as 1024
// + byte, the fraction of an f16: GPUs widen f16 as they multiply, or at least faster than integers.
#import gpu/quads
#import gpu/span_load

const SCALED = true;
const HALVES = 1u;
const LOADS = 2u;

fn bytes(word: u32) -> vec4f {
  let even = unpack2x16float((word & 0x00ff00ffu) | 0x64006400u);
  let odd = unpack2x16float(((word >> 8u) & 0x00ff00ffu) | 0x64006400u);
  return vec4f(even.x, odd.x, even.y, odd.y);
}

fn span_quad(span: Span, quad: u32) -> vec4f {
  return bytes(span.words[quad]);
}

// Rows have an even number of spans: two, of which `s` is one, share a word. What is of the row alone is computed once.
fn span_scale(at: u32, s: u32) -> f32 {
  return unpack2x16float(scales[(at - s) / 2u + s / 2u] >> (16u * (s % 2u))).x;
}

fn span_scales(at: u32, s: u32) -> vec4f {
  let scale = span_scale(at, s);
  return vec2f(scale, -1152.0 * scale).xyxy;
}

fn span_add(at: u32, s: u32, codes: vec2f, xs: vec2f, before: f32) -> f32 {
  return span_scale(at, s) * (codes.y - 1152.0 * xs.y) + before;
}

// Weights (rows, K) in bf16, packed in pairs, the upper halves of f32: a span is 8.
#import unit
#import words

const SCALED = false;
const HALVES = 1u;

fn span_at(at: u32) -> Span {
  return Span(weight[at], vec4<u32>());
}

fn span_unit(span: Span, unit: u32) -> Unit {
  let low = bitcast<vec4f>(span.words << vec4<u32>(16u));
  let high = bitcast<vec4f>(span.words & vec4<u32>(0xffff0000u));
  return Unit(vec4f(low.x, high.x, low.y, high.y), vec4f(low.z, high.z, low.w, high.w));
}

fn span_scales(at: u32, s: u32) -> vec4f {
  return vec4f();
}

fn span_add(at: u32, s: u32, codes: vec2f, xs: vec2f, before: f32) -> f32 {
  return before;
}

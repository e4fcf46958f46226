// Weights (rows, K) in f32: a span is 4.
#import unit

const SCALED = false;
const HALVES = 1u;
const LOADS = 1u;

struct Span {
  values: vec4f,
}

fn span_at(at: u32) -> Span {
  return Span(weight[at]);
}

fn span_quad(span: Span, quad: u32) -> vec4f {
  return span.values;
}

fn span_unit(span: Span, unit: u32) -> Unit {
  return Unit(span.values, vec4f());
}

fn span_scales(at: u32, s: u32) -> vec4f {
  return vec4f();
}

fn span_add(at: u32, s: u32, codes: vec2f, xs: vec2f, before: f32) -> f32 {
  return before;
}

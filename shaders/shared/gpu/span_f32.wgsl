// Weights (rows, K) in f32: a span is 4.
#import unit
#import gpu/span_plain

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

// Weights (rows, K) in bf16, packed in pairs, the upper halves of f32: a span is 8.
#import gpu/quads
#import gpu/span_load
#import gpu/span_plain

const LOADS = 1u;

fn span_quad(span: Span, quad: u32) -> vec4f {
  let two = select(span.words.xy, span.words.zw, quad == 1u);
  let low = bitcast<vec2f>(two << vec2<u32>(16u));
  let high = bitcast<vec2f>(two & vec2<u32>(0xffff0000u));
  return vec4f(low.x, high.x, low.y, high.y);
}

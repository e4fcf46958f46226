// Weights (rows, K) in f16, packed in pairs: a span is 8. See weight_f16.wgsl for why no bitcast.
#import gpu/quads
#import gpu/span_load
#import gpu/span_plain

const LOADS = 1u;

fn span_quad(span: Span, quad: u32) -> vec4f {
  let two = select(span.words.xy, span.words.zw, quad == 1u);
  return vec4f(unpack2x16float(two.x), unpack2x16float(two.y));
}

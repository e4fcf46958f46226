// Weights (rows, K) as 5-bit codes, with a scale, a minimum and fifth bits for 32 neighbours along K, a span: see weight_q5.wgsl.
#import gpu/quads
#import gpu/words
#import blocks/fifths
#import blocks/span_grid

const SCALED = true;
const HALVES = 1u;
const LOADS = 1u;

fn span_at(at: u32) -> Span {
  return Span(weight[at], vec2<u32>(scales[at].y, 0u));
}

fn span_quad(span: Span, quad: u32) -> vec4f {
  return fifths(span.words[quad / 2u], span.more.x, quad);
}

fn span_scales(at: u32, s: u32) -> vec4f {
  return unpack2x16float(scales[at].x).xyxy;
}

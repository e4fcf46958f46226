// Weights (rows, K) as Q5_K blocks of 256 along K, of 8 spans: see weight_q5_k.wgsl.
#import gpu/quads
#import gpu/words
#import blocks/fifths
#import blocks/k_scale
#import blocks/span_grid

const SCALED = true;
const HALVES = 1u;
const LOADS = 1u;

fn span_at(at: u32) -> Span {
  let j = at % 8u;
  let fifth = scales[3u * (at / 8u) + 1u + j / 4u];
  return Span(weight[at], vec2<u32>(fifth[j % 4u], 0u));
}

fn span_quad(span: Span, quad: u32) -> vec4f {
  return fifths(span.words[quad / 2u], span.more.x, quad);
}

fn span_scales(at: u32, s: u32) -> vec4f {
  let by = k_scale(scales[3u * (at / 8u)], at % 8u);
  return vec2f(by.x, -by.y).xyxy;
}

// Weights (rows, K) as Q4_K blocks of 256 along K, of 8 spans: see weight_q4_k.wgsl.
#import unit
#import gpu/span_load
#import blocks/nibbles
#import blocks/k_scale
#import blocks/span_grid

const SCALED = true;
const HALVES = 1u;
const LOADS = 1u;

fn span_unit(span: Span, unit: u32) -> Unit {
  let v = nibbles(span.words[unit]);
  return Unit(vec4f(v[0].x, v[2].x, v[0].y, v[2].y), vec4f(v[1].x, v[3].x, v[1].y, v[3].y));
}

fn span_quad(span: Span, quad: u32) -> vec4f {
  let v = nibbles(span.words[quad / 2u] >> (4u * (quad % 2u)));
  return vec4f(v[0].x, v[2].x, v[0].y, v[2].y);
}

fn span_scales(at: u32, s: u32) -> vec4f {
  let by = k_scale(scales[at / 8u], at % 8u);
  return of_nibbles(vec2f(by.x, -by.y)).xyxy;
}

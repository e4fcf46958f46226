// Weights (rows, K) as 4-bit codes 0..15, lowest nibble first, with an f16 scale and minimum for 32 neighbours along K, a span.
#import unit
#import words
#import nibbles

const SCALED = true;
const HALVES = 1u;
const LOADS = 1u;

fn span_at(at: u32) -> Span {
  return Span(weight[at], vec2<u32>());
}

fn span_unit(span: Span, unit: u32) -> Unit {
  let v = nibbles(span.words[unit]);
  return Unit(vec4f(v[0].x, v[1].x, v[2].x, v[3].x), vec4f(v[0].y, v[1].y, v[2].y, v[3].y));
}

fn span_quad(span: Span, quad: u32) -> vec4f {
  let four = span.words[quad / 2u] >> (16u * (quad % 2u));
  let v = nibbles((four & 0xffu) | ((four & 0xff00u) << 8u));
  return vec4f(v[0].x, v[1].x, v[0].y, v[1].y);
}

fn span_scales(at: u32, s: u32) -> vec4f {
  return of_nibbles(unpack2x16float(scales[at])).xyxy;
}

fn span_add(at: u32, s: u32, codes: vec2f, xs: vec2f, before: f32) -> f32 {
  let by = span_scales(at, s);
  let sum = by.x * codes.y + before;
  return by.y * xs.y + sum;
}

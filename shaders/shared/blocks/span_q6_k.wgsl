// Weights (rows, K) as Q6_K blocks of 256 along K, of 8 spans with a scale for each half: see weight_q6_k.wgsl.
#import gpu/quads
#import gpu/words

const SCALED = true;
const HALVES = 2u;
const LOADS = 1u;

fn span_at(at: u32) -> Span {
  let top = 21u * (at / 8u) + 5u + 2u * (at % 8u);
  return Span(weight[at], vec2<u32>(scales[top], scales[top + 1u]));
}

fn span_quad(span: Span, quad: u32) -> vec4f {
  let low = (span.words[quad / 2u] >> (4u * (quad % 2u))) & 0x0f0f0f0fu;
  let top = (span.more[quad / 4u] >> (2u * (quad % 4u))) & 0x03030303u;
  return vec4f(unpack4xU8(low | (top << 4u)));
}

fn span_scales(at: u32, s: u32) -> vec4f {
  let block = 21u * (at / 8u);
  let j = 2u * (at % 8u);
  // Two signed bytes of a word.
  let pair = bitcast<i32>(scales[block + 1u + j / 4u] << (8u * (2u - j % 4u)));
  let by = unpack2x16float(scales[block]).x * vec2f(f32((pair << 8u) >> 24u), f32(pair >> 24u));
  return vec4f(by.x, -32.0 * by.x, by.y, -32.0 * by.y);
}

fn span_add(at: u32, s: u32, codes: vec2f, xs: vec2f, before: f32) -> f32 {
  let by = span_scales(at, s);
  let sum = by.x * (codes.x - 32.0 * xs.x) + before;
  return by.z * (codes.y - 32.0 * xs.y) + sum;
}

// Weights (rows, K) as 4-bit codes 0..15, lowest nibble first, with an f16 scale and minimum for 32 neighbours along K, a span.
#import gpu/span_load
#import blocks/span_nibbles
#import blocks/span_grid

const SCALED = true;
const HALVES = 1u;
const LOADS = 1u;

fn span_scales(at: u32, s: u32) -> vec4f {
  return of_nibbles(unpack2x16float(scales[at])).xyxy;
}

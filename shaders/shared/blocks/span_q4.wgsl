// Weights (rows, K) as 4-bit codes 0..15, lowest nibble first, with 32 bits for 32 neighbours along K, a span: see weight_q4.wgsl.
#import gpu/span_load
#import blocks/span_nibbles

const SCALED = true;
const HALVES = 2u;
const LOADS = 1u;

struct Split {
  by: vec2f,
  zero: vec2f,
}

// Scales of halves, times 16, and 1 + place / 128, as f16.
fn split_of(pair: u32) -> Split {
  return Split(
    unpack2x16float(((pair & 0x00ff00ffu) << 6u) + 0x14001400u),
    unpack2x16float(((pair >> 5u) & 0x03f803f8u) | 0x3c003c00u),
  );
}

fn span_scales(at: u32, s: u32) -> vec4f {
  let pair = scales[at];
  let split = split_of(pair);
  let least = -split.by * split.zero;
  let halves = vec4f(split.by.x, least.x, split.by.y, least.y);
  return select(of_nibbles(unpack2x16float(pair)).xyxy, halves, (pair & 0x8000u) != 0u);
}

fn span_add(at: u32, s: u32, codes: vec2f, xs: vec2f, before: f32) -> f32 {
  let pair = scales[at];
  let split = split_of(pair);
  let centred = codes - xs * split.zero;
  let halves = split.by.x * centred.x + split.by.y * centred.y;
  let grid = unpack2x16float(pair);
  let x = xs.x + xs.y;
  let whole = grid.x * (16.0 * (codes.x + codes.y - x)) + grid.y * x;
  return before + select(whole, halves, (pair & 0x8000u) != 0u);
}

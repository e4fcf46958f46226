// Weights (rows, K) as 5-bit codes: low halves as Q4_K's. For 32 neighbours along K an f16 scale and minimum, and a word of fifth
// bits, bit g of the bytes for the g-th four.
#import unit

fn weight_unit(unit: u32) -> Unit {
  let codes = weight[unit];
  let block = scales[unit / 4u];
  let by = unpack2x16float(block.x);
  let fifth = block.y >> (2u * (unit % 4u));
  let low = (codes & 0x0f0f0f0fu) | ((fifth & 0x01010101u) << 4u);
  let high = ((codes >> 4u) & 0x0f0f0f0fu) | ((fifth & 0x02020202u) << 3u);
  return Unit(by.x * vec4f(unpack4xU8(low)) + by.y, by.x * vec4f(unpack4xU8(high)) + by.y);
}

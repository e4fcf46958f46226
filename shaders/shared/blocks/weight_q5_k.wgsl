// Weights (rows, K) as Q5_K blocks of 256 along K: as Q4_K, and behind each block's scales a word of fifth bits for 32 values,
// bit g of the bytes for the g-th four.
#import unit
#import blocks/k_scale

fn weight_unit(unit: u32) -> Unit {
  let codes = weight[unit];
  let block = 3u * (unit / 32u);
  let j = unit / 4u % 8u;
  let by = k_scale(scales[block], j);
  let fifth = scales[block + 1u + j / 4u][j % 4u] >> (2u * (unit % 4u));
  let low = (codes & 0x0f0f0f0fu) | ((fifth & 0x01010101u) << 4u);
  let high = ((codes >> 4u) & 0x0f0f0f0fu) | ((fifth & 0x02020202u) << 3u);
  return Unit(by.x * vec4f(unpack4xU8(low)) - by.y, by.x * vec4f(unpack4xU8(high)) - by.y);
}

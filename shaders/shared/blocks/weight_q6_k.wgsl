// Weights (rows, K) as Q6_K blocks of 256 along K: low halves of the codes as Q4_K's. Of each block 21 words of scales: an f16
// factor, signed bytes for 16 values each, and words of the two high bits of 16 values, bits 2g of the bytes for the g-th four.
#import unit

fn weight_unit(unit: u32) -> Unit {
  let codes = weight[unit];
  let block = 21u * (unit / 32u);
  let j = unit / 2u % 16u;
  let by = unpack2x16float(scales[block]).x * f32(unpack4xI8(scales[block + 1u + j / 4u])[j % 4u]);
  let top = scales[block + 5u + j] >> (4u * (unit % 2u));
  let low = (codes & 0x0f0f0f0fu) | ((top & 0x03030303u) << 4u);
  let high = ((codes >> 4u) & 0x0f0f0f0fu) | ((top & 0x0c0c0c0cu) << 2u);
  return Unit(by * (vec4f(unpack4xU8(low)) - 32.0), by * (vec4f(unpack4xU8(high)) - 32.0));
}

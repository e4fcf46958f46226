// Weights (rows, K) as Q4_K blocks of 256 along K: codes 0..15, those of the unit's first four values in the low halves of the
// bytes; the block's first 16 bytes as its scales.
#import unit
#import blocks/k_scale

fn weight_unit(unit: u32) -> Unit {
  let codes = weight[unit];
  let by = k_scale(scales[unit / 32u], unit / 4u % 8u);
  return Unit(
    by.x * vec4f(unpack4xU8(codes & 0x0f0f0f0fu)) - by.y,
    by.x * vec4f(unpack4xU8((codes >> 4u) & 0x0f0f0f0fu)) - by.y,
  );
}

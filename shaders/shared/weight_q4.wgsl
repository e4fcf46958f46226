// Weights (rows, K) as 4-bit codes 0..15 (value + 8), lowest nibble first, with one f16 scale for 32 neighbours along K.
#import unit

fn weight_unit(unit: u32) -> Unit {
  let codes = weight[unit];
  let block = unit / 4u;
  let scale = unpack2x16float(scales[block / 2u])[block % 2u];
  let even = vec4f(unpack4xU8(codes & 0x0f0f0f0fu)) - 8.0;
  let odd = vec4f(unpack4xU8((codes >> 4u) & 0x0f0f0f0fu)) - 8.0;
  return Unit(
    scale * vec4f(even.x, odd.x, even.y, odd.y),
    scale * vec4f(even.z, odd.z, even.w, odd.w),
  );
}

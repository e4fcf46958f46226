// Weights (rows, K) as 4-bit codes 0..15, lowest nibble first, with an f16 scale and minimum for 32 neighbours along K.
#import unit

fn weight_unit(unit: u32) -> Unit {
  let codes = weight[unit];
  let block = unpack2x16float(scales[unit / 4u]);
  let even = vec4f(unpack4xU8(codes & 0x0f0f0f0fu));
  let odd = vec4f(unpack4xU8((codes >> 4u) & 0x0f0f0f0fu));
  return Unit(
    block.x * vec4f(even.x, odd.x, even.y, odd.y) + block.y,
    block.x * vec4f(even.z, odd.z, even.w, odd.w) + block.y,
  );
}

// Weights (rows, K) as 4-bit codes 0..15, lowest nibble first, with 32 bits for 32 neighbours along K: a scale and a minimum in
// f16; or, where the scale has a sign, of each 16 a scale with four bits of exponent and of fraction, and what code is zero, in
// eighths.
#import unit

fn weight_unit(unit: u32) -> Unit {
  let codes = weight[unit];
  let pair = scales[unit / 4u];
  let half = pair >> (8u * (unit & 2u));
  let scale = bitcast<f32>(((half & 0xffu) << 19u) + (113u << 23u));
  let split = vec2f(scale, -0.125 * scale * f32((half >> 8u) & 0x7fu));
  let grid = select(unpack2x16float(pair), split, (pair & 0x8000u) != 0u);
  let even = vec4f(unpack4xU8(codes & 0x0f0f0f0fu));
  let odd = vec4f(unpack4xU8((codes >> 4u) & 0x0f0f0f0fu));
  return Unit(
    grid.x * vec4f(even.x, odd.x, even.y, odd.y) + grid.y,
    grid.x * vec4f(even.z, odd.z, even.w, odd.w) + grid.y,
  );
}

// Weights (rows, K) as bytes, code + 128, with one f16 scale for 32 neighbours along K.
#import unit

fn weight_unit(unit: u32) -> Unit {
  let codes = weight[unit] ^ vec2<u32>(0x80808080u);
  let block = unit / 4u;
  let scale = unpack2x16float(scales[block / 2u])[block % 2u];
  return Unit(scale * vec4f(unpack4xI8(codes.x)), scale * vec4f(unpack4xI8(codes.y)));
}
